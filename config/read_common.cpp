// Logging, ISAKMP, access lists and profiles.
#include <algorithm>
#include <fmt/format.h>

#include "config/reader.hpp"
#include "config/sections.hpp"

namespace cohort::config {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string read_reference(Object& object, std::string_view key, std::string_view kind,
                           const std::vector<std::string_view>& known, bool required) {
  if (!object.has(key)) {
    if (required)
      object.missing(key, fmt::format("the name of {} of this file", with_article(kind)));
    return {};
  }
  const auto name = object.text(key);
  if (!name) return {};
  if (std::find(known.begin(), known.end(), *name) != known.end()) return *name;
  object.reject_unknown_name(key, kind, known);
  return {};
}

const std::vector<DebugCategory>& debug_categories() {
  static const std::vector<DebugCategory> categories{
      {"crypto isakmp", "phase 1: its events, and each ISAKMP message in and out"},
      {"crypto gdoi", "every event of key server and member, and refused GDOI messages"},
      {"crypto gdoi ks", "events of the key server: registrations, rekeys, acknowledgements"},
      {"crypto gdoi ks coop", "events of co-operating key servers, and refused COOP messages"},
      {"crypto gdoi gm", "events of the member: registrations, rekeys, SAs"},
      {"crypto pki messages", "each SCEP message over HTTP: method, size, status"},
      {"crypto pki transactions", "enrolment: requests, grants, certificates, renewals"},
      {"crypto pki validation", "certificates and messages that were refused, and why"},
      {"crypto pki api", "what operators and roles ask of the certificate code"},
      {"crypto pki callback", "answers and deadlines that an enrolment waits for"},
      {"dataplane", "policies and SAs handed to the workers"},
  };
  return categories;
}

namespace {

std::vector<std::string> read_debug(Object& object) {
  std::vector<std::string> out;
  std::vector<std::string_view> known{"all"};
  for (const DebugCategory& category : debug_categories()) known.push_back(category.name);
  object.each_item("debug", 64, [&](const Json& item, const std::string& pointer) {
    const std::string word = item.is_string() ? item.get<std::string>() : std::string();
    if (std::find(known.begin(), known.end(), word) != known.end()) {
      out.push_back(word);
      return;
    }
    const std::string_view near = did_you_mean(word, known);
    object.context().diagnostics.error(
        pointer, found_text(item), fmt::format("one of: {}", fmt::join(known, ", ")),
        near.empty() ? "choose one of these" : fmt::format("did you mean \"{}\"?", near));
  });
  return out;
}

}  // namespace

LoggingOptions read_logging(ReadContext& context, const Json& value) {
  Object object(context, value, "/logging", sections::logging);
  LoggingOptions out;
  out.level = object.choice<Severity>("level", out.level,
                                      {{"emergency", Severity::emergency},
                                       {"alert", Severity::alert},
                                       {"critical", Severity::critical},
                                       {"error", Severity::error},
                                       {"warning", Severity::warning},
                                       {"notice", Severity::notice},
                                       {"informational", Severity::informational},
                                       {"debug", Severity::debug}});
  out.standard_error = object.flag("standard_error", out.standard_error);
  out.syslog = object.flag("syslog", out.syslog);
  out.event_log = object.text_or("event_log", "");
  out.debug = read_debug(object);
  object.finish();
  return out;
}

namespace {

ike::Phase1Policy read_policy(ReadContext& context, const Json& value, const std::string& pointer) {
  using crypto::DhGroup;
  using ike::AuthMethod;
  Object object(context, value, pointer, sections::isakmp_policy);
  ike::Phase1Policy out;
  out.cipher = object.choice<crypto::Cipher>("encryption", out.cipher,
                                             {{"aes-128", crypto::Cipher::aes_128},
                                              {"aes-192", crypto::Cipher::aes_192},
                                              {"aes-256", crypto::Cipher::aes_256},
                                              {"3des", crypto::Cipher::triple_des, true}});
  out.hash = object.choice<crypto::Hash>("hash", out.hash,
                                         {{"sha256", crypto::Hash::sha256},
                                          {"sha384", crypto::Hash::sha384},
                                          {"sha512", crypto::Hash::sha512},
                                          {"sha1", crypto::Hash::sha1, true},
                                          {"md5", crypto::Hash::md5, true}});
  out.group = object.choice<DhGroup>("group", out.group,
                                     {{"14", DhGroup::modp2048},
                                      {"15", DhGroup::modp3072},
                                      {"16", DhGroup::modp4096},
                                      {"19", DhGroup::ecp256},
                                      {"20", DhGroup::ecp384},
                                      {"21", DhGroup::ecp521},
                                      {"2", DhGroup::modp1024, true},
                                      {"5", DhGroup::modp1536, true}});
  out.auth = object.choice<AuthMethod>("authentication", out.auth,
                                       {{"rsa-sig", AuthMethod::rsa_signature},
                                        {"ecdsa-256-sig", AuthMethod::ecdsa_256},
                                        {"ecdsa-384-sig", AuthMethod::ecdsa_384},
                                        {"ecdsa-521-sig", AuthMethod::ecdsa_521},
                                        {"pre-share", AuthMethod::pre_shared_key}});
  out.lifetime = object.seconds("lifetime", out.lifetime, seconds(60), hours(24 * 7));
  object.finish();
  return out;
}

ike::DpdOptions read_keepalive(ReadContext& context, const Json& value) {
  using Mode = ike::DpdOptions::Mode;
  Object object(context, value, "/isakmp/keepalive", sections::keepalive);
  ike::DpdOptions out;
  out.mode = object.choice<Mode>(
      "mode", Mode::periodic,
      {{"off", Mode::off}, {"on-demand", Mode::on_demand}, {"periodic", Mode::periodic}});
  out.interval = object.seconds("interval", out.interval, seconds(1), hours(1));
  out.retry = object.seconds("retry", out.retry, seconds(1), seconds(60));
  out.retries = static_cast<unsigned>(object.number("retries", out.retries, 1, 60));
  object.finish();
  return out;
}

}  // namespace

ike::IsakmpOptions read_isakmp(ReadContext& context, const Json& value) {
  Object object(context, value, "/isakmp", sections::isakmp);
  ike::IsakmpOptions out;
  if (!object.has("policies")) object.missing("policies", "a list of policies");
  object.each_item("policies", 32, [&](const Json& item, const std::string& pointer) {
    out.policies.push_back(read_policy(context, item, pointer));
  });
  if (object.has("policies") && out.policies.empty()) {
    object.reject("policies", "one policy at least", "add { } for the defaults");
  }
  if (const Json* keepalive = object.child("keepalive")) {
    out.dpd = read_keepalive(context, *keepalive);
  }
  out.retransmit_initial = object.milliseconds("retransmit_initial", out.retransmit_initial,
                                               milliseconds(50), seconds(60));
  out.retransmit_tries =
      static_cast<unsigned>(object.number("retransmit_tries", out.retransmit_tries, 1, 10));
  out.fragment_size = object.number("fragment_size", out.fragment_size, 0, 65000);
  if (out.fragment_size != 0 && out.fragment_size < 576) {
    object.reject("fragment_size", "0, or 576 to 65000", "choose a number in that range");
  }
  out.nat_traversal = object.flag("nat_traversal", out.nat_traversal);
  out.nat_port = static_cast<std::uint16_t>(object.number("nat_port", out.nat_port, 1, 65535));
  out.half_open_timeout =
      object.seconds("half_open_timeout", out.half_open_timeout, seconds(1), seconds(600));
  out.rekey = object.flag("rekey", out.rekey);
  out.half_open_max = object.number("half_open_max", out.half_open_max, 1, 100'000);
  out.half_open_max_per_address =
      object.number("half_open_max_per_address", out.half_open_max_per_address, 1, 1000);
  out.established_max = object.number("established_max", out.established_max, 1, 1'000'000);
  out.ecdsa_signs_digest = object.choice<bool>("ecdsa_signs", out.ecdsa_signs_digest,
                                               {{"hash", false}, {"digest", true}});
  out.allow_weak = context.allow_weak;
  object.finish();
  return out;
}

namespace {

std::optional<dataplane::PortRange> read_port_field(Object& object, std::string_view key) {
  const Json* value = object.child(key);
  if (value == nullptr) return dataplane::PortRange{};
  const std::string text = value->is_number_unsigned() ? std::to_string(value->get<std::uint64_t>())
                           : value->is_string()        ? value->get<std::string>()
                                                       : std::string();
  auto out = read_ports(text);
  if (out) return *out;
  object.reject(key, "a port or a range of ports", out.error());
  return std::nullopt;
}

std::optional<AccessLine> read_line_object(ReadContext& context, const Json& value,
                                           const std::string& pointer, std::uint32_t next) {
  const std::size_t before = context.diagnostics.count();
  Object object(context, value, pointer, sections::access_line);
  AccessLine out;
  out.number = static_cast<std::uint32_t>(object.number("sequence", next, 1, 2'147'483'647));
  if (!object.has("action")) object.missing("action", "\"permit\" or \"deny\"");
  out.entry.permit = object.choice<bool>("action", true, {{"permit", true}, {"deny", false}});
  const Json* protocol = object.child("protocol");
  const std::string protocol_text = protocol == nullptr ? "ip"
                                    : protocol->is_number_unsigned()
                                        ? std::to_string(protocol->get<std::uint64_t>())
                                        : object.text_or("protocol", "ip");
  const std::string source = object.required_text("source");
  const std::string destination = object.required_text("destination");
  const auto source_ports = read_port_field(object, "source_ports");
  const auto destination_ports = read_port_field(object, "destination_ports");
  object.finish();
  if (context.diagnostics.count() != before) return std::nullopt;
  auto selector = make_selector(protocol_text, source, destination);
  if (!selector) {
    context.diagnostics.error(pointer, found_text(value), "a line of an access list",
                              selector.error());
    return std::nullopt;
  }
  out.entry.selector = *selector;
  out.entry.selector.source_ports = *source_ports;
  out.entry.selector.destination_ports = *destination_ports;
  const std::uint8_t number = selector->protocol;
  const bool ports = !source_ports->any() || !destination_ports->any();
  if (ports && number != 6 && number != 17 && number != 132) {
    context.diagnostics.error(pointer, "ports with a protocol that has none",
                              "protocol tcp, udp or sctp", "set \"protocol\", or remove the ports");
  }
  return out;
}

std::optional<AccessLine> read_line(ReadContext& context, const Json& value,
                                    const std::string& pointer, std::uint32_t next) {
  if (value.is_object()) return read_line_object(context, value, pointer, next);
  if (value.is_string()) {
    auto out = read_access_line(value.get_ref<const std::string&>(), next);
    if (out) return *out;
    context.diagnostics.error(
        pointer, found_text(value),
        "a line such as \"permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255\"", out.error());
    return std::nullopt;
  }
  context.diagnostics.error(pointer, found_text(value), "a text or an object",
                            "write the line in double quotes");
  return std::nullopt;
}

}  // namespace

std::vector<AccessList> read_access_lists(Object& file) {
  std::vector<AccessList> out;
  ReadContext& context = file.context();
  file.each_named(
      "access_lists", 1000, [&](const std::string& name, const Json& value, const std::string& at) {
        AccessList list{name, {}};
        if (!value.is_array() || value.empty() || value.size() > 1000) {
          context.diagnostics.error(at, found_text(value), "a list of 1 to 1000 lines",
                                    "write [ \"permit …\", … ]");
          out.push_back(std::move(list));  // so that who refers to it is not reported as well
          return;
        }
        std::uint32_t last = 0;
        for (std::size_t i = 0; i < value.size(); ++i) {
          const std::string pointer = child_pointer(at, i);
          const auto line = read_line(context, value[i], pointer, last - last % 10 + 10);
          if (!line) continue;
          if (line->number <= last) {
            context.diagnostics.error(pointer,
                                      fmt::format("number {} after {}", line->number, last),
                                      "ascending numbers", "put the lines in order");
          }
          last = line->number;
          list.lines.push_back(*line);
        }
        out.push_back(std::move(list));
      });
  return out;
}

std::vector<Choice<dataplane::Suite>> suite_choices() {
  std::vector<Choice<dataplane::Suite>> out;
  for (const auto& shape : dataplane::all_suites()) out.push_back({shape.name, shape.suite});
  return out;
}

namespace {

void read_replay(Object& object, Profile& profile) {
  using dataplane::ReplayKind;
  profile.replay = object.choice<ReplayKind>(
      "replay", profile.replay,
      {{"counter", ReplayKind::counter}, {"time", ReplayKind::time}, {"none", ReplayKind::none}});
  const auto packets = object.number("replay_window", profile.replay_window, 64, 4096);
  if (packets % 64 != 0) {
    object.reject("replay_window", "a multiple of 64", "choose 64, 128, 256, …");
  }
  const auto time = object.milliseconds("replay_time_window", milliseconds(4000),
                                        milliseconds(gdoi::time_window_min_ms),
                                        milliseconds(gdoi::time_window_max_ms));
  const bool by_time = profile.replay == ReplayKind::time;
  if (by_time && object.has("replay_window")) {
    object.reject("replay_window", "replay_time_window, since \"replay\" is \"time\"",
                  "a window of packets has no meaning there");
  }
  if (!by_time && object.has("replay_time_window")) {
    object.reject("replay_time_window", "\"replay\": \"time\" beside it",
                  "a window of time has no meaning without");
  }
  profile.replay_window =
      static_cast<std::uint16_t>(by_time ? time.count() : static_cast<std::int64_t>(packets));
}

}  // namespace

std::map<std::string, Profile> read_profiles(Object& file) {
  std::map<std::string, Profile> out;
  file.each_named("profiles", 1000,
                  [&](const std::string& name, const Json& value, const std::string& pointer) {
                    Object object(file.context(), value, pointer, sections::profile);
                    Profile profile;
                    profile.suite = object.choice("transform", profile.suite, suite_choices());
                    profile.lifetime =
                        object.seconds("lifetime", profile.lifetime, seconds(10), hours(24 * 30));
                    read_replay(object, profile);
                    object.finish();
                    out.emplace(name, profile);
                  });
  return out;
}

}  // namespace cohort::config
