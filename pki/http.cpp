#include "pki/http.hpp"

#include <algorithm>
#include <charconv>

#include "controlplane/base/address.hpp"
#include "pki/reasons.hpp"

namespace cohort::pki {

namespace {

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

/// "host", "host:port", "[v6]" or "[v6]:port".
Status split_authority(std::string_view authority, HttpUrl& out) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return fail(bad_url, "'[' without ']'");
    out.host = authority.substr(1, end - 1);
    if (!IpAddress::parse(out.host)) return fail(bad_url, "no IPv6 address between '[' and ']'");
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    out.host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  if (out.host.empty()) return fail(bad_url, "no host");
  if (!authority.starts_with('[') &&
      !std::all_of(out.host.begin(), out.host.end(), is_host_character))
    return fail(bad_url, "the host is neither a name nor an address");
  if (port.empty()) return {};
  const char* end = port.data() + port.size();
  const auto parsed = std::from_chars(port.data() + 1, end, out.port);
  if (port.front() != ':' || parsed.ec != std::errc() || parsed.ptr != end || out.port == 0)
    return fail(bad_url, "the port is not 1 to 65535");
  return {};
}

}  // namespace

Result<HttpUrl> parse_http_url(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (url.size() > http_url_max) return fail(bad_url, "it is too long");
  if (!url.starts_with(scheme)) return fail(bad_url, "it does not begin with http://");
  if (!std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
    return fail(bad_url, "it has a character outside of ASCII, or a space");
  const std::string_view rest = url.substr(scheme.size());
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  if (authority.find('@') != std::string_view::npos) return fail(bad_url, "it has a user name");
  HttpUrl out;
  COHORT_CHECK(split_authority(authority, out));
  const std::string_view target = rest.substr(end, rest.find('#') - end);
  out.target = target.starts_with('/') ? "" : "/";
  out.target += target;
  return out;
}

}  // namespace cohort::pki
