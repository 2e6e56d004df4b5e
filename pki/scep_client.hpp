#pragma once

#include <cstdint>
#include <optional>
#include <span>
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

/// Where an enrolment stands. enrol_transitions() is the table.
enum class EnrolState : std::uint8_t {
  idle,          ///< not started
  capabilities,  ///< GetCACaps is out
  ca_request,    ///< GetCACert is out
  decision,      ///< an operator must say yes or no
  refused,       ///< the CA was not accepted; start() tries anew
  key,           ///< a key pair for the request is being made
  request,       ///< PKCSReq or RenewalReq is out
  pending,       ///< the CA's operator must decide; waits to poll
  poll,          ///< CertPoll is out
  enrolled,      ///< nothing to do until renewal or the next CRL
  crl,           ///< GetCRL is out
  retry          ///< waits after a failure
};
[[nodiscard]] std::string_view name_of(EnrolState state);

/// What makes it change.
enum class EnrolEvent : std::uint8_t {
  ask_capabilities,  ///< started, or retry, renewal or CRL are due and nothing is known
  ca_wanted,         ///< capabilities known, CA not
  key_wanted,        ///< CA known, certificate wanted, no key pair to ask with
  request_wanted,    ///< CA known, certificate wanted
  poll_wanted,       ///< a request is pending there
  crl_wanted,
  nothing_wanted,
  decision_wanted,  ///< CA offered and not pinned
  ca_is_another,    ///< CA offered and another one pinned
  declined,
  told_to_wait,
  failed
};

/// One row of the table of transitions.
struct EnrolTransition {
  EnrolState from;
  EnrolEvent on;
  EnrolState to;
};
/// All of them; there is at most one for a state and an event.
[[nodiscard]] std::span<const EnrolTransition> enrol_transitions();
[[nodiscard]] std::string_view name_of(EnrolEvent event);

/// What a server can do (RFC 8894 section 3.5.2), as far as we use it.
struct ScepCapabilities {
  bool aes = false;
  bool triple_des = false;
  bool sha_256 = false;
  bool sha_512 = false;
  bool post = false;
  bool renewal = false;
  /// The text of GetCACaps; unknown lines are skipped.
  static ScepCapabilities parse(ByteView text);
};

/// An enrolment in flight, as it is stored.
struct ScepTransaction {
  std::string id;
  std::string key_label;  ///< of the key that the certificate is for
  Bytes csr;              ///< DER
  bool renewal = false;   ///< signed with the certificate that we have
  Bytes signer;           ///< DER of the certificate that signs its messages
  std::string signer_key_label;
  bool pending = false;  ///< the CA has said so; polls follow
  [[nodiscard]] Bytes encode() const;
  static Result<ScepTransaction> parse(ByteView octets);
};

/// The subject and alternative names that a trustpoint asks for: hostname (unstructuredName),
/// serial number and address before the configured name, as routers do.
[[nodiscard]] Result<RequestContents> request_contents(const TrustpointOptions& options);

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

/// A key pair to be made: RSA takes from tenths of a second to a minute, which is nobody's to wait
/// for on the control plane's thread.
struct KeyWish {
  std::uint64_t id = 0;
  KeyPairOptions options;
};

/// Keeps one trustpoint enrolled: authenticates the CA, requests a certificate, polls, renews, and
/// fetches CRLs. Sans-I/O like a Node: after each call the driver takes the request, if there is
/// one, and performs it; its answer comes back through on_response. Likewise it takes the wish for
/// a key pair and makes it, elsewhere; that comes back through on_key. At most one of them is out
/// at a time.
/// An enrolment in flight is in the World's Store and goes on after a restart. Control-plane
/// thread only.
class ScepClient {
 public:
  /// Keeps all three by reference; the trustpoint has been load()ed and has an enrollment_url.
  ScepClient(World& world, Trustpoint& trustpoint, KeyPairs& keys);
  ~ScepClient();
  ScepClient(const ScepClient&) = delete;
  ScepClient& operator=(const ScepClient&) = delete;

  /// Begins, or begins again after a refusal or without waiting after a failure; continues where
  /// the store says we are.
  void start(TimePoint now);
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const { return deadline_; }
  /// The request to perform now; each is given out once.
  [[nodiscard]] std::optional<OutgoingHttp> take_request();
  /// The answer to request `id`, or why there is none. Answers to anything but the request that is
  /// out are ignored.
  void on_response(TimePoint now, std::uint64_t id, Result<HttpResponse> response);
  /// The key pair to make now (generate_key), on any thread; each wish is given out once.
  [[nodiscard]] std::optional<KeyWish> take_key_wish();
  /// The key that wish `id` asked for, or why there is none. Keys that are not waited for are
  /// dropped.
  void on_key(TimePoint now, std::uint64_t id, Result<crypto::PrivateKey> key);

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
  [[nodiscard]] TimePoint wall_deadline(TimePoint now, WallTime when) const;
  [[nodiscard]] bool wants_certificate() const;
  [[nodiscard]] bool wants_crl() const;
  [[nodiscard]] std::vector<Certificate> signers() const;
  [[nodiscard]] std::string blob() const;

  /// Changes the state by the table; an event without a row is a fault of ours and is reported.
  void advance(EnrolEvent event);
  void send(TimePoint now, HttpRequest request);
  void send_operation(TimePoint now, std::string_view operation);
  void send_message(TimePoint now, Bytes message);
  void fail_with(TimePoint now, Error error);
  void crl_failed_with(TimePoint now, Error error);
  void choose_next(TimePoint now);
  void rest(TimePoint now);

  [[nodiscard]] Status on_capabilities(TimePoint now, const HttpResponse& response);
  [[nodiscard]] Status on_ca_certificates(TimePoint now, const HttpResponse& response);
  [[nodiscard]] Status on_reply(TimePoint now, const HttpResponse& response);
  [[nodiscard]] Status on_crl(TimePoint now, const HttpResponse& response);
  [[nodiscard]] Status accept_offer(TimePoint now);

  [[nodiscard]] Result<ScepTransaction> new_transaction();
  [[nodiscard]] std::string label_for_request() const;
  [[nodiscard]] Result<bool> needs_new_key() const;
  [[nodiscard]] Result<KeyPair> key_for_request() const;
  [[nodiscard]] Status begin_request(TimePoint now);
  [[nodiscard]] Status send_request(TimePoint now);
  [[nodiscard]] Status send_poll(TimePoint now);
  [[nodiscard]] Status send_crl_request(TimePoint now);
  [[nodiscard]] Result<Bytes> build(ScepType type, ByteView data, std::string_view transaction_id,
                                    const Certificate& signer, const crypto::PrivateKey& key);
  [[nodiscard]] Result<ScepMessage> read_reply(ByteView body, const Certificate& recipient,
                                               const crypto::PrivateKey& key);
  [[nodiscard]] Status take_granted(TimePoint now, const ScepMessage& message);
  void wait_for_operator(TimePoint now);
  [[nodiscard]] Status load_transaction();
  [[nodiscard]] Status save_transaction();
  void drop_transaction();

  World& world_;
  Trustpoint& trustpoint_;
  KeyPairs& keys_;
  ScepCodec codec_;
  EnrolState state_ = EnrolState::idle;
  TimePoint deadline_ = never;

  std::optional<OutgoingHttp> outgoing_;
  std::uint64_t request_id_ = 0;  ///< of the request that is out
  std::optional<KeyWish> key_wish_;
  std::uint64_t key_id_ = 0;  ///< of the wish that is out
  /// A renewal with a new key: the label of the one that was made for it.
  std::string fresh_key_;
  std::optional<ScepCapabilities> capabilities_;
  std::vector<Certificate> offered_anchors_;
  std::vector<Certificate> offered_others_;
  std::optional<CaOffer> offer_;

  std::optional<ScepTransaction> transaction_;
  ScepNonce nonce_{};                 ///< of the message that is out
  std::string reply_transaction_id_;  ///< and its transaction
  bool renew_now_ = false;
  std::optional<WallTime> granted_;  ///< when this process got the certificate that we have
  bool crl_now_ = false;
  TimePoint next_crl_{};  ///< no CRL is fetched before
  unsigned polls_ = 0;
  unsigned failures_ = 0;
  unsigned crl_failures_ = 0;
  std::optional<Error> last_error_;
};

}  // namespace cohort::pki
