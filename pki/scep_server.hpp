#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "controlplane/world/world.hpp"
#include "pki/ca.hpp"
#include "pki/http.hpp"
#include "pki/request_rate.hpp"
#include "pki/scep_message.hpp"

namespace cohort::pki {

/// Answered and refused requests, for metrics.
struct ScepServerCounters {
  std::uint64_t requests = 0;
  std::uint64_t granted = 0;
  std::uint64_t pending = 0;
  std::uint64_t refused = 0;
  std::uint64_t throttled = 0;  ///< of the refused: over one of the rates
};

/// RFC 8894 for a CA: GetCACaps, GetCACert, and PKIOperation by GET and POST with PKCSReq,
/// RenewalReq, CertPoll, GetCert and GetCRL; also the plain CRL at any path that ends in ".crl".
/// The path is otherwise not looked at. What costs a private-key operation is served at a bounded
/// rate, in total and for each source (CaOptions::requests_per_second); that is the only state for
/// clients. Control-plane thread only.
class ScepServer {
 public:
  /// Keeps both by reference.
  ScepServer(CertificateAuthority& ca, World& world);
  ~ScepServer();
  ScepServer(const ScepServer&) = delete;
  ScepServer& operator=(const ScepServer&) = delete;

  /// Answers one request. What can't be understood gets an HTTP 4xx with one line of text, what is
  /// understood and refused a CertRep with failInfo; both are reported to Outbox::refuse. Over a
  /// rate the answer is 429 (the sender's own) or 503 (of all).
  [[nodiscard]] HttpResponse handle(const HttpRequest& request);
  [[nodiscard]] const ScepServerCounters& counters() const { return counters_; }

 private:
  struct Query;
  [[nodiscard]] Result<HttpResponse> dispatch(const HttpRequest& request);
  [[nodiscard]] Status admit(std::string_view peer);
  [[nodiscard]] HttpResponse capabilities() const;
  [[nodiscard]] Result<HttpResponse> ca_certificate() const;
  [[nodiscard]] Result<HttpResponse> crl();
  [[nodiscard]] Result<HttpResponse> pki_operation(ByteView message, std::string_view peer);
  /// The data of a successful answer, a pending one (no value), or a refusal.
  [[nodiscard]] Result<std::optional<Bytes>> operate(const ScepMessage& message);
  [[nodiscard]] Result<std::optional<Bytes>> enrol(const ScepMessage& message);
  [[nodiscard]] Result<std::optional<Bytes>> poll(const ScepMessage& message);
  [[nodiscard]] Result<std::optional<Bytes>> get_certificate(const ScepMessage& message);
  [[nodiscard]] Result<std::optional<Bytes>> get_crl(const ScepMessage& message);
  [[nodiscard]] Result<std::optional<Bytes>> answer_of(const Decision& decision);
  void refuse(Error error, std::string_view peer);

  CertificateAuthority& ca_;
  World& world_;
  ScepCodec codec_;
  RequestRate rate_;
  ScepServerCounters counters_;
};

}  // namespace cohort::pki
