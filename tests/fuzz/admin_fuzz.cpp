// The admin socket's input: lines cut anywhere, requests, and the text made of any answer.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "controlplane/daemon/admin_protocol.hpp"
#include "controlplane/daemon/cohort/render.hpp"

namespace {

void check_text(const std::string& text) {
  // Whatever a daemon answers, a terminal gets no control characters but line ends and tabs.
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') std::abort();
  }
}

void render_all(const cohort::daemon::Json& json) {
  using namespace cohort::daemon;
  for (const auto& render :
       {render_gkm_group, render_ks_members, render_ks_policy, render_ks_rekey, render_isakmp_sa,
        render_pki_server, render_trustpoints, render_requests, render_issued, render_keys,
        render_access_lists, render_dataplane_counters, render_version, render_refusals,
        render_debug, render_doctor}) {
    check_text(render(json));
  }
  check_text(render_certificates(json, true));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cohort::daemon;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = parse_request(text);
  if (whole) {
    // A request that was understood is understood the same way after being written.
    const std::string line = request_line(*whole);
    const auto again = parse_request(std::string_view(line).substr(0, line.size() - 1));
    if (line.size() <= request_size_max && (!again || again->command != whole->command)) {
      std::abort();
    }
  }
  LineReader reader(64);
  for (std::size_t at = 0; at < size; at += 7) {
    reader.append(text.substr(at, 7));
    while (auto line = reader.next()) {
      if (line->size() > 64 || line->find('\n') != std::string::npos) std::abort();
      (void)parse_request(*line);
    }
  }
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_discarded()) render_all(json);
  return 0;
}
