#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/configuration.hpp"
#include "config/object.hpp"

/// The readers of the sections, each in the file of its topic. They report into the context and
/// return what they could make; the whole is used only when nothing was reported.
namespace cohort::config {

/// How traffic is protected, by name; SAs refer to it.
struct Profile {
  dataplane::Suite suite = dataplane::Suite::aes_256_gcm_16;
  std::chrono::seconds lifetime{3600};
  dataplane::ReplayKind replay = dataplane::ReplayKind::counter;
  std::uint16_t replay_window = 64;  ///< counter: packets; time: ms
};

/// What sections refer to by name.
struct Names {
  std::vector<pki::KeyPairOptions> keys;
  std::vector<pki::TrustpointOptions> trustpoints;
  std::map<std::string, Profile> profiles;
  std::vector<AccessList> access_lists;
  std::vector<dataplane::PortPairOptions> port_pairs;
};

[[nodiscard]] LoggingOptions read_logging(ReadContext& context, const Json& value);
[[nodiscard]] std::vector<pki::KeyPairOptions> read_key_pairs(Object& file);
[[nodiscard]] std::vector<pki::TrustpointOptions> read_trustpoints(Object& file, const Names& names,
                                                                   const std::string& hostname);
[[nodiscard]] CertificateAuthorityRole read_certificate_authority(ReadContext& context,
                                                                  const Json& value,
                                                                  const std::string& state);
[[nodiscard]] dataplane::DataplaneOptions read_dataplane(ReadContext& context, const Json& value);
[[nodiscard]] std::vector<PreSharedKey> read_pre_shared_keys(Object& file);
[[nodiscard]] ike::IsakmpOptions read_isakmp(ReadContext& context, const Json& value);
[[nodiscard]] std::vector<AccessList> read_access_lists(Object& file);
[[nodiscard]] std::map<std::string, Profile> read_profiles(Object& file);
[[nodiscard]] KeyServerRole read_key_server(ReadContext& context, const Json& value,
                                            const Names& names);
/// A group's section `redundancy`, into the group.
void read_redundancy(ReadContext& context, const Json& value, const std::string& pointer,
                     KeyServerGroup& group);
/// What redundancy owes to the rest of the file.
void check_redundancy(Diagnostics& diagnostics, const Configuration& configuration);
[[nodiscard]] gdoi::AuthorizationRule read_rule(ReadContext& context, const Json& value,
                                                const std::string& pointer,
                                                const SectionSpec& section);
[[nodiscard]] GroupMemberRole read_group_member(ReadContext& context, const Json& value,
                                                const Names& names);

/// A name that must be one of `known`; reports otherwise.
[[nodiscard]] std::string read_reference(Object& object, std::string_view key,
                                         std::string_view kind,
                                         const std::vector<std::string_view>& known, bool required);
template <typename Container, typename Name>
[[nodiscard]] std::vector<std::string_view> names_of(const Container& container, Name name) {
  std::vector<std::string_view> out;
  for (const auto& one : container) out.emplace_back(name(one));
  return out;
}
[[nodiscard]] std::vector<Choice<dataplane::Suite>> suite_choices();

}  // namespace cohort::config
