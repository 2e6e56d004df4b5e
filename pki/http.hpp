#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"

/// HTTP as values, so that the daemon does the I/O (libevent) and the simulator none at all.
namespace cohort::pki {

enum class HttpMethod : std::uint8_t { get, post };

/// A request. A client fills `url` (absolute, "http://host:port/path?query"); a server is given
/// `url` as the request line has it (path and query).
struct HttpRequest {
  HttpMethod method = HttpMethod::get;
  std::string url;
  std::string content_type;  ///< of the body
  Bytes body;
  std::string peer;  ///< who asks, for refusals; set by a server's transport
};

struct HttpResponse {
  unsigned status = 0;
  std::string content_type;
  Bytes body;
};

inline constexpr std::size_t http_body_max = 256 * 1024;  ///< octets, for every transport
inline constexpr std::size_t http_url_max = 64 * 1024;    ///< characters; GET carries messages

/// "http://host[:port]/path": what a transport needs to connect.
struct HttpUrl {
  std::string host;  ///< IPv6 without its brackets
  std::uint16_t port = 80;
  std::string target;  ///< "/path?query", never empty
};

/// Takes an absolute URL apart; bad_url for anything but http://host[:port][/path][?query], for
/// user names, and for octets that would break a request line.
[[nodiscard]] Result<HttpUrl> parse_http_url(std::string_view url);

}  // namespace cohort::pki
