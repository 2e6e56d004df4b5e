#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/world/world.hpp"
#include "pki/http.hpp"
#include "pki/key_pair.hpp"
#include "pki/request.hpp"
#include "pki/scep_message.hpp"
#include "pki/trustpoint.hpp"

namespace cohort::pki {

/// Where an enrolment stands. The table of transitions is in scep_client_table.hpp.
enum class EnrolState : std::uint8_t {
  idle,          ///< not started
  capabilities,  ///< GetCACaps is out
  ca_request,    ///< GetCACert is out
  decision,      ///< an operator must say yes or no
  refused,       ///< the CA was not accepted; start() tries anew
  request,       ///< PKCSReq or RenewalReq is out
  pending,       ///< the CA's operator must decide; waits to poll
  poll,          ///< CertPoll is out
  enrolled,      ///< nothing to do until renewal or the next CRL
  crl,           ///< GetCRL is out
  retry          ///< waits after a failure
};
[[nodiscard]] std::string_view name_of(EnrolState state);

/// What an operator is shown before he accepts a CA (SCEP's GetCACert is not authenticated).
struct CaOffer {
  std::string subject;
  WallTime not_after{};
  std::string fingerprint_md5;  ///< lower-case hex, as the two below
  std::string fingerprint_sha1;
  std::string fingerprint_sha256;
};

/// A request on its way: which exchange it belongs to, so that late answers are told apart.
struct OutgoingHttp {
  std::uint64_t id = 0;
  HttpRequest request;
};

/// Keeps one trustpoint enrolled: authenticates the CA, requests a certificate, polls, renews, and
/// fetches CRLs. Sans-I/O like a Node: after each call the driver takes the request, if there is
/// one, and performs it; its answer comes back through on_response. At most one is out at a time.
/// An enrolment in flight is in the World's Store and goes on after a restart. Control-plane
/// thread only.
class ScepClient {
 public:
  /// Keeps all three by reference; the trustpoint has been load()ed and has an enrollment_url.
  ScepClient(World& world, Trustpoint& trustpoint, KeyPairs& keys);
  ~ScepClient();
  ScepClient(const ScepClient&) = delete;
  ScepClient& operator=(const ScepClient&) = delete;

  /// Begins, or begins again after a refusal; continues where the store says we are.
  void start(TimePoint now);
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const { return deadline_; }
  /// The request to perform now; each is given out once.
  [[nodiscard]] std::optional<OutgoingHttp> take_request();
  /// The answer to request `id`, or why there is none. Answers to anything but the request that is
  /// out are ignored.
  void on_response(TimePoint now, std::uint64_t id, Result<HttpResponse> response);

  /// What to decide on, in state decision.
  [[nodiscard]] const std::optional<CaOffer>& offer() const { return offer_; }
  /// The operator's yes or no; scep_no_transition when nothing is to be decided.
  [[nodiscard]] Status decide(TimePoint now, bool accept);
  /// Renews at once, whatever the percentage; renewal_impossible without a valid certificate.
  [[nodiscard]] Status renew(TimePoint now);
  /// Fetches the CRL at once, when enrolled.
  [[nodiscard]] Status refresh_crl(TimePoint now);

  [[nodiscard]] EnrolState state() const { return state_; }
  [[nodiscard]] bool is_renewing() const;
  /// The last failure, until something succeeds.
  [[nodiscard]] const std::optional<Error>& last_error() const { return last_error_; }
  [[nodiscard]] unsigned polls() const { return polls_; }
  /// When renewal begins by the wall clock; empty when it is off or nothing is enrolled.
  [[nodiscard]] std::optional<WallTime> renewal_at() const;
  [[nodiscard]] const Trustpoint& trustpoint() const { return trustpoint_; }

 private:
  struct Transaction;
  enum class Step : std::uint8_t;
  friend struct EnrolTransition;
  World& world_;
  Trustpoint& trustpoint_;
  KeyPairs& keys_;
  ScepCodec codec_;
  EnrolState state_ = EnrolState::idle;
  TimePoint deadline_ = never;
  std::optional<CaOffer> offer_;
  std::optional<Error> last_error_;
  unsigned polls_ = 0;
};

}  // namespace cohort::pki
