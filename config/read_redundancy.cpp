// The other key servers of a group.
#include <algorithm>
#include <fmt/format.h>

#include "config/reader.hpp"
#include "config/sections.hpp"
#include "controlplane/crypto/hash.hpp"
#include "coop/replica.hpp"

namespace cohort::config {

using std::chrono::hours;
using std::chrono::milliseconds;

namespace {

/// As certificates print it, since that is what it is compared with.
std::optional<std::string> read_whole_name(Object& object, std::string_view key) {
  const auto text = object.text(key);
  if (!text) return std::nullopt;
  const auto name = read_distinguished_name(*text);
  if (!name && text->find('+') != std::string::npos) return text;  // some have two values at once
  if (!name) object.reject(key, "a distinguished name", name.error());
  return name.value_or(*text);
}

}  // namespace

gdoi::AuthorizationRule read_rule(ReadContext& context, const Json& value,
                                  const std::string& pointer, const SectionSpec& section) {
  Object object(context, value, pointer, section);
  gdoi::AuthorizationRule out;
  out.subject = read_whole_name(object, "subject");
  out.common_name = object.text("common_name");
  out.organizational_unit = object.text("organizational_unit");
  out.issuer = read_whole_name(object, "issuer");
  out.san_dns = object.text("san_dns");
  out.address = object.prefix("address");
  object.finish();
  if (value.is_object() && value.empty()) {
    context.diagnostics.error(pointer, "a rule without a condition", "one condition at least",
                              "it would admit everybody; add \"organizational_unit\" or another");
  }
  return out;
}

namespace {

coop::Timers read_timers(Object& object) {
  coop::Timers out;
  out.announce = object.milliseconds("announce", out.announce, milliseconds(100), hours(1));
  out.silent = object.milliseconds("silent", out.silent, milliseconds(100), hours(2));
  out.dead = object.milliseconds("dead", out.dead, milliseconds(100), hours(4));
  if (out.silent < out.announce + out.announce / 4) {
    object.reject("silent", "1.25 times \"announce\" at least",
                  fmt::format("write \"{}\" or more, since one late announcement is no silence",
                              duration_text(out.announce + out.announce / 4)));
  }
  if (out.dead < out.silent + out.silent / 2) {
    object.reject(
        "dead", "1.5 times \"silent\" at least",
        fmt::format("write \"{}\" or more, so that there is time to ask before an election",
                    duration_text(out.silent + out.silent / 2)));
  }
  return out;
}

void read_peers(Object& object, coop::Options& out) {
  if (!object.has("peers")) object.missing("peers", "a list of key servers");
  object.each_item(
      "peers", coop::servers_max - 1, [&](const Json& item, const std::string& pointer) {
        const auto peer =
            read_endpoint(item.is_string() ? item.get<std::string>() : std::string(), 848);
        if (!peer) {
          object.context().diagnostics.error(pointer, found_text(item),
                                             "the address of a key server", peer.error());
        } else if (std::any_of(out.peers.begin(), out.peers.end(),
                               [&](const Endpoint& one) { return one.address == peer->address; })) {
          object.context().diagnostics.error(pointer, found_text(item), "another key server",
                                             "it is there already; remove it");
        } else {
          out.peers.push_back(*peer);
        }
      });
}

}  // namespace

void read_redundancy(ReadContext& context, const Json& value, const std::string& pointer,
                     KeyServerGroup& group) {
  using coop::EvictInPartition;
  using coop::KeySource;
  Object object(context, value, pointer, sections::redundancy);
  auto out = std::make_shared<coop::Options>();
  out->priority = static_cast<std::uint16_t>(object.number("local_priority", 1, 1, 65535));
  read_peers(object, *out);
  object.each_item("authorization", 100, [&](const Json& item, const std::string& at) {
    out->authorization.push_back(read_rule(context, item, at, sections::redundancy_authorization));
  });
  out->timers = read_timers(object);
  out->preempt = object.flag("preempt", out->preempt);
  out->lead_when_drifted = object.flag("lead_when_different", out->lead_when_drifted);
  out->key_source =
      object.choice<KeySource>("key_source", out->key_source,
                               {{"derived", KeySource::derived}, {"random", KeySource::random}});
  out->evict_in_partition = object.choice<EvictInPartition>(
      "evict_in_partition", out->evict_in_partition,
      {{"now", EvictInPartition::now}, {"at-merge", EvictInPartition::at_merge}});
  out->refresh_after =
      object.seconds("refresh", out->refresh_after, std::chrono::minutes(1), hours(24 * 365));
  group.state_key_file = object.path_or("state_key_file", "");
  object.finish();
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  group.redundancy_digest = to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes(text)}));
  group.redundancy = std::move(out);
}

namespace {

/// The successor of a key is handed out early enough for an election to come in between, though
/// never before half of its life is over.
void check_lifetimes(Diagnostics& diagnostics, const KeyServerGroup& group, const std::string& at) {
  const gdoi::GroupPolicy& policy = group.policy;
  const gdoi::RekeyPolicy& rekey = policy.rekey;
  const auto election = group.redundancy->timers.dead + group.redundancy->timers.announce;
  const auto check = [&](const std::string& what, std::chrono::seconds life) {
    const milliseconds share = milliseconds(life) * group.rekey_lead_permille / 1000;
    const milliseconds repeated = rekey.retransmit_interval * rekey.retransmit_number;
    const milliseconds lead = std::max({share, milliseconds(policy.activation_delay), repeated});
    if (2 * (lead + election) <= life) return;
    diagnostics.warning(
        at + "/dead", duration_text(election) + " with announce",
        fmt::format(
            "with the {} before its end at which a successor is due, half of the {} that {} "
            "lives at most",
            duration_text(lead), duration_text(life), what),
        "let keys live longer, or shorten dead and announce, as a key may end in an election");
  };
  check("the key-encryption key", rekey.lifetime);
  for (const gdoi::SaPolicy& sa : policy.sas)
    check(fmt::format("a key of sa {}", sa.number), sa.lifetime);
}

}  // namespace

void check_redundancy(Diagnostics& diagnostics, const Configuration& configuration) {
  if (!configuration.key_server) return;
  const KeyServerRole& role = *configuration.key_server;
  const auto& policies = configuration.isakmp.policies;
  const bool by_certificate = std::any_of(policies.begin(), policies.end(), [](const auto& policy) {
    return policy.auth != ike::AuthMethod::pre_shared_key;
  });
  for (std::size_t i = 0; i < role.groups.size(); ++i) {
    const auto& redundancy = role.groups[i].redundancy;
    if (!redundancy) continue;
    const std::string at = fmt::format("/key_server/groups/{}/redundancy", i);
    check_lifetimes(diagnostics, role.groups[i], at);
    const std::size_t members = role.groups[i].policy.members_max;
    if (members > coop::members_max)
      diagnostics.error(
          fmt::format("/key_server/groups/{}/members_max", i), fmt::format("{}", members),
          fmt::format("{} at most, as key servers tell each other of no more", coop::members_max),
          "lower it, or leave \"redundancy\" out");
    if (role.local.address.is_unspecified()) {
      diagnostics.error("/key_server/address", role.local.address.text(),
                        "the address that the other key servers know",
                        "name one; a group with redundancy needs it");
    }
    if (by_certificate && redundancy->authorization.empty()) {
      diagnostics.error(
          at + "/authorization", "nothing", "a rule that the key servers' certificates fit",
          "add { \"organizational_unit\": … }, since any certificate of a member would do else");
    }
    for (std::size_t j = 0; j < redundancy->peers.size(); ++j) {
      const IpAddress& peer = redundancy->peers[j].address;
      const std::string here = fmt::format("{}/peers/{}", at, j);
      if (peer == role.local.address) {
        diagnostics.error(here, peer.text(), "another key server",
                          "it is our own address; remove it");
      } else if (peer.is_v4() != role.local.address.is_v4() || peer.is_multicast() ||
                 peer.is_unspecified()) {
        diagnostics.error(here, peer.text(),
                          "a unicast address of the family of /key_server/address",
                          "name it by such an address; key servers reach each other from theirs");
      }
    }
  }
}

}  // namespace cohort::config
