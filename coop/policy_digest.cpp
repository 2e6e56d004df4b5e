#include "coop/policy_digest.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/crypto/hash.hpp"

namespace cohort::coop {

namespace {

constexpr std::size_t entries_max = 2'000;

std::string_view name_of(dataplane::ReplayKind kind) {
  switch (kind) {
    case dataplane::ReplayKind::none:
      return "none";
    case dataplane::ReplayKind::counter:
      return "counter";
    case dataplane::ReplayKind::time:
      return "time";
  }
  return "other";
}

void add_rekey(std::vector<PolicyEntry>& out, const gdoi::RekeyPolicy& rekey) {
  out.push_back({"rekey cipher", std::string(crypto::name_of(rekey.cipher))});
  out.push_back({"rekey signature-hash", std::string(crypto::name_of(rekey.signature_hash))});
  out.push_back({"rekey lifetime", fmt::format("{}", rekey.lifetime.count())});
  out.push_back({"rekey transport",
                 rekey.transport == gdoi::RekeyTransport::unicast ? "unicast" : "multicast"});
  if (rekey.multicast_destination)
    out.push_back({"rekey address", rekey.multicast_destination->text()});
  out.push_back({"rekey acknowledge", rekey.acknowledge ? "yes" : "no"});
  out.push_back(
      {"rekey retransmit",
       fmt::format("{} ms number {}", rekey.retransmit_interval.count(), rekey.retransmit_number)});
}

void add_sa(std::vector<PolicyEntry>& out, const gdoi::SaPolicy& sa) {
  const std::string prefix = fmt::format("sa {} ", sa.number);
  out.push_back({prefix + "suite", std::string(dataplane::shape_of(sa.suite).name)});
  out.push_back({prefix + "lifetime", fmt::format("{}", sa.lifetime.count())});
  out.push_back(
      {prefix + "replay", fmt::format("{} window {}", name_of(sa.replay), sa.replay_window)});
  out.push_back({prefix + "tek-per-entry", sa.tek_per_entry ? "yes" : "no"});
  for (std::size_t i = 0; i < sa.acl.size(); ++i)
    out.push_back({fmt::format("{}acl {}", prefix, i + 1), sa.acl[i].text()});
}

const PolicyEntry* find(const std::vector<PolicyEntry>& entries, const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const PolicyEntry& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

PolicyHash digest_of(std::string_view text) {
  const Bytes digest = crypto::digest(crypto::Hash::sha256, {as_bytes(text)});
  PolicyHash hash{};
  std::copy_n(digest.begin(), hash.size(), hash.begin());
  return hash;
}

}  // namespace

std::vector<PolicyEntry> canonical(const gdoi::GroupPolicy& policy) {
  std::vector<PolicyEntry> out;
  out.push_back({"group identity", policy.id.text()});
  add_rekey(out, policy.rekey);
  out.push_back({"activation-delay", fmt::format("{}", policy.activation_delay.count())});
  out.push_back({"deactivation-delay", fmt::format("{}", policy.deactivation_delay.count())});
  out.push_back({"sender-id-bits", fmt::format("{}", policy.sender_id_bits)});
  out.push_back({"send-exclusions", policy.send_exclusions ? "yes" : "no"});
  for (const gdoi::SaPolicy& sa : policy.sas) add_sa(out, sa);
  return out;
}

std::string policy_text(const std::vector<PolicyEntry>& entries) {
  std::string out;
  for (const PolicyEntry& entry : entries) out += entry.name + " = " + entry.value + "\n";
  return out;
}

std::vector<PolicyEntry> parse_policy_text(ByteView text) {
  std::vector<PolicyEntry> out;
  std::string_view rest(reinterpret_cast<const char*>(text.data()), text.size());
  while (!rest.empty() && out.size() < entries_max) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    const std::size_t equals = line.find(" = ");
    // A peer's text goes into our log: only what can be printed.
    const bool printable =
        std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (equals != std::string_view::npos && printable)
      out.push_back({std::string(line.substr(0, equals)), std::string(line.substr(equals + 3))});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

PolicyHash hash_of(const std::vector<PolicyEntry>& entries) {
  return digest_of(policy_text(entries));
}

PolicyHash hash_of(std::vector<IpAddress> servers) {
  std::sort(servers.begin(), servers.end());
  std::string text;
  for (const IpAddress& server : servers) text += server.text() + "\n";
  return digest_of(text);
}

std::vector<Difference> differences(const std::vector<PolicyEntry>& here,
                                    const std::vector<PolicyEntry>& there) {
  std::vector<Difference> out;
  for (const PolicyEntry& entry : here) {
    const PolicyEntry* other = find(there, entry.name);
    if (other == nullptr)
      out.push_back({entry.name, entry.value, ""});
    else if (other->value != entry.value)
      out.push_back({entry.name, entry.value, other->value});
  }
  for (const PolicyEntry& entry : there)
    if (find(here, entry.name) == nullptr) out.push_back({entry.name, "", entry.value});
  return out;
}

std::string tek_line(const gdoi::SaPolicy& sa, const std::vector<gdoi::AclEntry>& entries) {
  std::string text = fmt::format("sa {} {} {}", sa.number, dataplane::shape_of(sa.suite).name,
                                 sa.lifetime.count());
  if (sa.replay == dataplane::ReplayKind::time) text += " by time";
  for (const gdoi::AclEntry& entry : entries) text += "\n" + entry.text();
  return text;
}

}  // namespace cohort::coop
