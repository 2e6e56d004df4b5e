// The whole file: syntax, the top level, and what sections owe each other.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits.h>
#include <set>
#include <unistd.h>

#include "config/reader.hpp"
#include "config/sections.hpp"
#include "controlplane/crypto/hash.hpp"

namespace cohort::config {
namespace {

constexpr std::size_t file_size_max = 4 * 1024 * 1024;
constexpr int depth_max = 32;

/// The kind of key that signs so.
crypto::KeyType key_type_of(ike::AuthMethod method) {
  switch (method) {
    case ike::AuthMethod::ecdsa_256:
      return crypto::KeyType::ecdsa_p256;
    case ike::AuthMethod::ecdsa_384:
      return crypto::KeyType::ecdsa_p384;
    case ike::AuthMethod::ecdsa_521:
      return crypto::KeyType::ecdsa_p521;
    case ike::AuthMethod::rsa_signature:
    case ike::AuthMethod::pre_shared_key:
      break;
  }
  return crypto::KeyType::rsa;
}

/// Line and column, from 1, of an offset; the column counts octets.
std::pair<unsigned, unsigned> place_of(std::string_view text, std::size_t offset) {
  unsigned line = 1;
  unsigned column = 1;
  for (const char c : text.substr(0, std::min(offset, text.size()))) {
    column = c == '\n' ? 1 : column + 1;
    if (c == '\n') ++line;
  }
  return {line, column};
}

/// "unexpected end of input; expected ']'" out of the library's longer sentence, without the text
/// that it quotes as last read: that may be a part of a secret.
std::string syntax_sentence(std::string_view what) {
  const std::size_t at = what.find("syntax error while parsing ");
  std::string out(at == std::string_view::npos ? what : what.substr(at + 27));
  if (const std::size_t quote = out.find("; last read: "); quote != std::string::npos) {
    const std::size_t expected = out.rfind("; expected ");
    out = out.substr(0, quote) +
          (expected != std::string::npos && expected > quote ? out.substr(expected) : "");
  }
  // What is left may quote control characters of the file.
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (out.size() > 300) out = out.substr(0, 300) + "…";
  return out;
}

/// Parses JSON, and finds what a JSON library lets pass: a key that is there twice, of which one
/// would be silently lost, and nesting that no configuration has.
class Parser {
 public:
  Parser(std::string_view text, Diagnostics& diagnostics)
      : text_(text), diagnostics_(diagnostics) {}

  std::optional<Json> parse() {
    Json out;
    try {
      out = Json::parse(text_, [this](int depth, Json::parse_event_t event, Json& parsed) {
        return on_event(depth, event, parsed);
      });
    } catch (const Json::parse_error& error) {
      const auto [line, column] = place_of(text_, error.byte == 0 ? 0 : error.byte - 1);
      diagnostics_.syntax_error(line, column, "no valid JSON: " + syntax_sentence(error.what()),
                                "JSON (RFC 8259)", "look at this place and just before it");
      return std::nullopt;
    } catch (const Json::exception& error) {
      diagnostics_.error("", fmt::format("JSON that can't be read: {}", error.what()), "JSON", "");
      return std::nullopt;
    }
    if (too_deep_) {
      diagnostics_.error("", fmt::format("nesting of more than {} levels", depth_max),
                         fmt::format("{} levels at most", depth_max),
                         "remove the brackets too many");
      return std::nullopt;
    }
    return out;
  }

 private:
  bool on_event(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > depth_max) {
      too_deep_ = true;
      return false;
    }
    using Event = Json::parse_event_t;
    const auto level = static_cast<std::size_t>(depth);
    if (event == Event::value || event == Event::object_start || event == Event::array_start)
      ++levels_[level].items;
    if (event == Event::object_start || event == Event::array_start) levels_[level + 1] = {};
    if (event == Event::key && !too_deep_) {
      const auto& key = parsed.get_ref<const std::string&>();
      levels_[level].key = key;
      if (!levels_[level].keys.insert(key).second)
        diagnostics_.error(pointer_at(level), "this key twice in one object", "each key once",
                           "remove one of them");
    }
    return true;
  }

  /// Of what is being read at a level: keys of objects, numbers of items in lists.
  [[nodiscard]] std::string pointer_at(std::size_t level) const {
    std::string out;
    for (std::size_t i = 1; i <= level; ++i) {
      const Level& at = levels_[i];
      out = at.keys.empty() ? child_pointer(out, at.items - 1) : child_pointer(out, at.key);
    }
    return out;
  }

  struct Level {
    std::set<std::string> keys;  ///< of the object, so far; none in a list
    std::string key;             ///< the last of them
    std::size_t items = 0;       ///< of the list, so far
  };

  std::string_view text_;
  Diagnostics& diagnostics_;
  std::array<Level, depth_max + 2> levels_;
  bool too_deep_ = false;
};

std::string system_hostname() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

void read_small_sections(ReadContext& context, Object& file, Configuration& out) {
  static const Json none = Json::object();
  const Json* logging = file.child("logging");
  out.logging = read_logging(context, logging == nullptr ? none : *logging);

  const Json* admin = file.child("admin");
  Object admin_object(context, admin == nullptr ? none : *admin, "/admin", sections::admin);
  out.admin_socket = admin_object.text_or("socket", "/run/cohort/cohort.sock");
  if (out.admin_socket.size() > 100) {
    admin_object.reject("socket", "a path of at most 100 octets", "the system takes no longer one");
  }
  admin_object.finish();

  if (const Json* metrics = file.child("metrics")) {
    Object object(context, *metrics, "/metrics", sections::metrics);
    out.metrics =
        object.endpoint("listen", 9848).value_or(Endpoint{IpAddress::v4(0x7f000001), 9848});
    object.finish();
  }
  if (const Json* lab = file.child("lab")) {
    Object object(context, *lab, "/lab", sections::lab);
    out.lab_export_keys = object.flag("export_keys", false);
    if (out.lab_export_keys) {
      object.warn("export_keys", "false outside a laboratory",
                  "anyone who reads the exported keys reads the group's traffic");
    }
    object.finish();
  }
}

void check_signature_methods(Diagnostics& diagnostics, const Configuration& configuration,
                             const std::string& role, const std::string& trustpoint) {
  const pki::TrustpointOptions* found = nullptr;
  for (const auto& candidate : configuration.trustpoints) {
    if (candidate.name == trustpoint) found = &candidate;
  }
  const auto& policies = configuration.isakmp.policies;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const std::string at = fmt::format("/isakmp/policies/{}/authentication", i);
    if (policies[i].auth == ike::AuthMethod::pre_shared_key) {
      if (!configuration.pre_shared_keys.empty()) continue;
      diagnostics.error(at, "pre-share", "a pre-shared key in this file",
                        "add one under /pre_shared_keys");
      continue;
    }
    if (found == nullptr) {
      diagnostics.error(role + "/trustpoint", "nothing", "the trustpoint to authenticate with",
                        "add the key \"trustpoint\", or use policies with \"pre-share\" only");
      return;
    }
    if (key_type_of(policies[i].auth) == found->key.type) continue;
    diagnostics.error(at, "a signature by another kind of key than the trustpoint's",
                      fmt::format("a method that fits the key pair \"{}\"", found->key.label),
                      "change the method or the type of the key pair");
  }
}

void check_roles(Diagnostics& diagnostics, const Configuration& configuration) {
  const auto& server = configuration.key_server;
  const auto& member = configuration.group_member;
  if (!configuration.certificate_authority && !server && !member) {
    diagnostics.error("", "no role",
                      "one at least of certificate_authority, key_server and group_member",
                      "add the section of a role");
  }
  if ((server || member) && configuration.isakmp.policies.empty()) {
    diagnostics.error("/isakmp", "nothing", "an object with \"policies\"",
                      "add \"isakmp\": { \"policies\": [ { } ] } for the defaults");
    return;
  }
  if (server) {
    check_signature_methods(diagnostics, configuration, "/key_server", server->trustpoint);
  }
  if (member) {
    check_signature_methods(diagnostics, configuration, "/group_member", member->trustpoint);
  }
  if (server && member && server->local == member->local) {
    diagnostics.error("/group_member/address", "the key server's address and port",
                      "an address or port of its own", "change one of them");
  }
}

/// Each port pair of a member carries one group.
void check_port_pairs(Diagnostics& diagnostics, const Configuration& configuration) {
  if (!configuration.group_member) return;
  std::set<std::string> used;
  for (std::size_t i = 0; i < configuration.group_member->groups.size(); ++i) {
    const std::string& pair = configuration.group_member->groups[i].port_pair;
    if (pair.empty() || used.insert(pair).second) continue;
    diagnostics.error(fmt::format("/group_member/groups/{}/port_pair", i), '"' + pair + '"',
                      "a port pair of its own", "another group is bound to it");
  }
}

/// The member's control traffic must pass its own ports.
void complete_port_pairs(Configuration& configuration) {
  if (!configuration.group_member || !configuration.dataplane) return;
  for (auto& pair : configuration.dataplane->port_pairs) {
    const IpAddress& own = configuration.group_member->local.address;
    auto& addresses = pair.own_addresses;
    if (!pair.punt.empty() && !own.is_unspecified() &&
        std::find(addresses.begin(), addresses.end(), own) == addresses.end()) {
      addresses.push_back(own);
    }
    for (const auto& group : configuration.group_member->groups) {
      if (group.port_pair != pair.name) continue;
      for (const Endpoint& server : group.servers) pair.control_peers.push_back(server.address);
    }
  }
}

void read_names(Object& file, Configuration& out, Names& names) {
  const std::string hostname = out.hostname.empty() ? system_hostname() : out.hostname;
  names.keys = read_key_pairs(file);
  names.trustpoints = read_trustpoints(file, names, hostname);
  names.access_lists = read_access_lists(file);
  names.profiles = read_profiles(file);
  if (const Json* dataplane = file.child("dataplane")) {
    out.dataplane = read_dataplane(file.context(), *dataplane);
    names.port_pairs = out.dataplane->port_pairs;
  }
}

void read_roles(ReadContext& context, Object& file, const Names& names, Configuration& out) {
  if (const Json* isakmp = file.child("isakmp")) out.isakmp = read_isakmp(context, *isakmp);
  if (const Json* ca = file.child("certificate_authority")) {
    out.certificate_authority = read_certificate_authority(context, *ca, out.state_directory);
  }
  if (const Json* server = file.child("key_server")) {
    out.key_server = read_key_server(context, *server, names);
  }
  if (const Json* member = file.child("group_member")) {
    out.group_member = read_group_member(context, *member, names);
    if (!out.dataplane) {
      file.missing("dataplane", "the ports of the group member");
    }
  } else if (out.dataplane) {
    file.warn("dataplane", "a group member", "without one no port is opened");
  }
}

std::map<std::string, std::string> digests_of(const Json& file) {
  std::map<std::string, std::string> out;
  const auto add = [&](const std::string& pointer, const Json& value) {
    const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    out[pointer] = to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes(text)}));
  };
  if (!file.is_object()) return out;
  for (const auto& [key, value] : file.items()) {
    if ((key == "key_server" || key == "group_member") && value.is_object()) {
      for (const auto& [inner, member] : value.items()) add("/" + key + "/" + inner, member);
    } else {
      add("/" + key, value);
    }
  }
  return out;
}

}  // namespace

std::vector<gdoi::AclEntry> AccessList::entries() const {
  std::vector<gdoi::AclEntry> out;
  for (const AccessLine& line : lines) out.push_back(line.entry);
  return out;
}

const AccessList* Configuration::find_access_list(std::string_view name) const {
  for (const AccessList& list : access_lists) {
    if (list.name == name) return &list;
  }
  return nullptr;
}

std::vector<PreSharedKey> read_pre_shared_keys(Object& file) {
  std::vector<PreSharedKey> out;
  file.each_item("pre_shared_keys", 10'000, [&](const Json& item, const std::string& pointer) {
    Object object(file.context(), item, pointer, sections::pre_shared_key);
    PreSharedKey key;
    if (!object.has("peer")) object.missing("peer", "a prefix");
    if (!object.has("key")) object.missing("key", "a secret");
    const auto peers = object.prefix("peer");
    auto secret = object.secret("key");
    object.finish();
    if (secret && secret->size() < 8) {
      file.context().diagnostics.error(child_pointer(pointer, "key"), "a key of under 8 octets",
                                       "8 octets at least", "choose a longer one");
    }
    if (peers && secret) out.push_back({*peers, std::move(*secret)});
  });
  return out;
}

Outcome read_text(std::string_view text, const std::string& name, const Files& files,
                  bool file_is_private) {
  Diagnostics diagnostics(name);
  Outcome outcome;
  const auto json = Parser(text, diagnostics).parse();
  if (json) {
    ReadContext context{diagnostics, files, false, file_is_private};
    Configuration out;
    out.file = name;
    out.digests = digests_of(*json);
    Object file(context, *json, "", sections::file);
    context.allow_weak = out.allow_weak = file.flag("allow_weak", false);
    if (const auto given = file.text("hostname")) {
      const auto hostname = read_hostname(*given);
      if (!hostname) file.reject("hostname", "the name of a machine", hostname.error());
      out.hostname = hostname.value_or("");
    }
    if (!file.has("state_directory")) file.missing("state_directory", "an absolute path");
    out.state_directory = file.path_or("state_directory", "");
    out.runtime_directory = file.path_or("runtime_directory", "/run/cohort");
    out.crypto_threads = static_cast<unsigned>(file.number("crypto_threads", 0, 0, 256));
    read_small_sections(context, file, out);
    Names names;
    read_names(file, out, names);
    out.pre_shared_keys = read_pre_shared_keys(file);
    read_roles(context, file, names, out);
    out.keys = std::move(names.keys);
    out.trustpoints = std::move(names.trustpoints);
    out.access_lists = std::move(names.access_lists);
    file.finish();
    // What sections owe each other is worth a word only when each of them is right.
    if (!diagnostics.has_errors()) check_roles(diagnostics, out);
    if (!diagnostics.has_errors()) check_port_pairs(diagnostics, out);
    if (!diagnostics.has_errors()) check_redundancy(diagnostics, out);
    complete_port_pairs(out);
    if (!diagnostics.has_errors()) outcome.configuration = std::move(out);
  }
  outcome.problems = diagnostics.take();
  return outcome;
}

Outcome read_file(const std::string& path, const Files& files) {
  auto content = files.read(path, file_size_max);
  if (content) {
    const std::string_view text(reinterpret_cast<const char*>(content->data()), content->size());
    Outcome outcome = read_text(text, path, files, !files.readable_by_others(path));
    zeroize(*content);
    return outcome;
  }
  Diagnostics diagnostics(path);
  diagnostics.error("", fmt::format("no readable file ({})", content.error().detail()),
                    "a configuration file", "check the path and its permissions");
  return {std::nullopt, diagnostics.take()};
}

}  // namespace cohort::config
