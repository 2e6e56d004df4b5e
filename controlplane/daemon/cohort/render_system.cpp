// The daemon, access lists, the dataplane.
#include <fmt/format.h>
#include <iterator>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

std::string duration_text(std::uint64_t seconds) {
  return fmt::format("{}d {:02}:{:02}:{:02}", seconds / 86400, seconds / 3600 % 24,
                     seconds / 60 % 60, seconds % 60);
}

}  // namespace

std::string render_access_lists(const Json& lists) {
  std::string text;
  for (const Json& list : lists) {
    text += fmt::format("Extended IP access list {}\n", text_of(list, "name"));
    for (const Json& line : list_of(list, "lines")) {
      text += fmt::format("    {} {}\n", number_of(line, "sequence"), text_of(line, "text"));
    }
  }
  return text.empty() ? "No access lists.\n" : text;
}

std::string render_dataplane_counters(const Json& pairs) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const Json& pair : pairs) {
    fmt::format_to(out, "Port pair {}\n", text_of(pair, "port_pair"));
    for (const Json& port : list_of(pair, "ports")) {
      fmt::format_to(out,
                     "  {:<8} {} ({}), link {}, MTU {}: in {} packets, out {}, missed {}, "
                     "errors {}\n",
                     text_of(port, "role"), text_of(port, "name"), text_of(port, "driver"),
                     flag_of(port, "link_up") ? "up" : "down", number_of(port, "mtu"),
                     number_of(port, "packets_in"), number_of(port, "packets_out"),
                     number_of(port, "missed"), number_of(port, "errors"));
    }
    const Json sentences = object_of(pair, "drop_sentences");
    for (const auto& [key, title] : {std::pair{"forwards", "Packets"}, {"drops", "Drops"}}) {
      fmt::format_to(out, "  {}\n", title);
      bool any = false;
      for (const auto& [name, value] : object_of(pair, key).items()) {
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0) continue;
        fmt::format_to(out, "    {:<28} {}\n", clean(name), value.get<std::uint64_t>());
        const std::string why = text_of(sentences, name);
        if (key == std::string_view("drops") && !why.empty())
          fmt::format_to(out, "      {}\n", why);
        any = true;
      }
      if (!any) fmt::format_to(out, "    none\n");
    }
    for (const Json& sa : list_of(pair, "sas")) {
      fmt::format_to(out, "  SA {}\n", spi_text(number_of(sa, "spi")));
      fmt::format_to(out, "    encrypted {} packets ({} bytes), decrypted {} ({} bytes)\n",
                     number_of(sa, "packets_out"), number_of(sa, "bytes_out"),
                     number_of(sa, "packets_in"), number_of(sa, "bytes_in"));
      fmt::format_to(out, "    replayed {}, not authentic {}, used up {} of 1000\n",
                     number_of(sa, "replay_drops"), number_of(sa, "auth_failures"),
                     number_of(sa, "exhausted_permille"));
    }
    if (number_of(pair, "unknown_spi") != 0) {
      fmt::format_to(out, "  Last unknown SPI {}\n", spi_text(number_of(pair, "unknown_spi")));
    }
  }
  return text;
}

std::string render_version(const Json& version) {
  std::string roles;
  for (const Json& role : list_of(version, "roles")) {
    if (!role.is_string()) continue;
    roles += (roles.empty() ? "" : ", ") + clean(role.get_ref<const std::string&>());
  }
  return fmt::format(
      "cohortd {}\nHostname: {}\nRoles: {}\nConfiguration: {}\nState: {}\nUptime: {}\n",
      text_of(version, "version"), text_of(version, "hostname"), roles,
      text_of(version, "configuration"), text_of(version, "state_directory"),
      duration_text(number_of(version, "uptime")));
}

std::string render_refusals(const Json& refusals) {
  if (refusals.empty()) return "Nothing was refused.\n";
  std::string text = fmt::format("{:<24} {:<32} {}\n", "Entry", "Reason", "Count");
  for (const Json& refusal : refusals) {
    text += fmt::format("{:<24} {:<32} {}\n", text_of(refusal, "where"), text_of(refusal, "reason"),
                        number_of(refusal, "count"));
    const std::string sentence = text_of(refusal, "sentence");
    if (!sentence.empty()) text += "  " + sentence + "\n";
  }
  return text;
}

std::string render_debug(const Json& categories) {
  std::string text;
  for (const Json& category : categories) {
    text += fmt::format("{:<4} {:<26} {}\n", flag_of(category, "on") ? "on" : "off",
                        text_of(category, "name"), text_of(category, "sentence"));
  }
  return text;
}

std::string render_doctor(const Json& sentences) {
  std::string text;
  for (const Json& sentence : sentences) {
    if (sentence.is_string()) text += "- " + clean(sentence.get_ref<const std::string&>()) + "\n";
  }
  return text.empty() ? "Nothing found.\n" : text;
}

}  // namespace cohort::daemon
