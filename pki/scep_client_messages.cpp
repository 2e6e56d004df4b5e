#include <algorithm>
#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/events.hpp"
#include "pki/openssl.hpp"
#include "pki/scep_client.hpp"

/// What a SCEP client sends and how it reads the answers.
namespace cohort::pki {

namespace {

std::string percent_encode(ByteView octets) {
  std::string out;
  for (const std::uint8_t c : octets) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (plain)
      out.push_back(static_cast<char>(c));
    else
      out += fmt::format("%{:02X}", c);
  }
  return out;
}

std::string base64(ByteView octets) {
  std::string out(4 * ((octets.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<std::uint8_t*>(out.data()), octets.data(),
                                     static_cast<int>(octets.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::string with_query(const std::string& url, std::string_view query) {
  return fmt::format("{}{}{}", url, url.find('?') == std::string::npos ? '?' : '&', query);
}

/// The anchor of an offer when nothing is pinned: the root if the server sent it, otherwise the CA
/// that is nobody's issuer here.
std::optional<Certificate> anchor_of(const std::vector<Certificate>& offered) {
  std::optional<Certificate> out;
  for (const auto& certificate : offered) {
    if (!certificate.is_ca()) continue;
    if (certificate.is_self_issued()) return certificate;
    const bool issuer_is_here =
        std::any_of(offered.begin(), offered.end(), [&](const Certificate& other) {
          return other.is_ca() && same_name(other.subject_der(), certificate.issuer_der());
        });
    if (!issuer_is_here) out = certificate;
  }
  return out;
}

std::string normal_fingerprint(std::string_view text) {
  const auto octets = from_hex(text);
  return octets ? to_hex(*octets) : std::string(text);
}

bool can_encrypt(const Certificate& certificate) {
  return certificate.public_key().type() == crypto::KeyType::rsa &&
         (X509_get_key_usage(certificate.handle()) & KU_KEY_ENCIPHERMENT) != 0;
}

/// The CA that issues to us: among those known, the one that is the issuer of no other CA.
std::optional<Certificate> issuing_ca(const std::vector<Certificate>& known) {
  for (const auto& certificate : known) {
    if (!certificate.is_ca()) continue;
    const bool issues_cas = std::any_of(known.begin(), known.end(), [&](const Certificate& other) {
      return other.is_ca() && !(other == certificate) &&
             same_name(other.issuer_der(), certificate.subject_der());
    });
    if (!issues_cas) return certificate;
  }
  return std::nullopt;
}

/// Whom to encrypt to: a registration authority that can, else the issuing CA, whatever its key
/// usage says, since many leave keyEncipherment out.
std::optional<Certificate> recipient_of(const std::vector<Certificate>& known) {
  for (const auto& certificate : known)
    if (!certificate.is_ca() && can_encrypt(certificate)) return certificate;
  auto issuer = issuing_ca(known);
  if (issuer && issuer->public_key().type() != crypto::KeyType::rsa) return std::nullopt;
  return issuer;
}

}  // namespace

void ScepClient::send(TimePoint now, HttpRequest request) {
  // Ids are random, so that an answer from before a restart fits nothing.
  request_id_ = world_.random.u64() | 1;
  outgoing_ = OutgoingHttp{request_id_, std::move(request)};
  deadline_ = now + trustpoint_.options().http_timeout;
}

void ScepClient::send_operation(TimePoint now, std::string_view operation) {
  const auto& options = trustpoint_.options();
  std::string query = fmt::format("operation={}", operation);
  if (!options.ca_identifier.empty())
    query += "&message=" + percent_encode(as_bytes(options.ca_identifier));
  HttpRequest request;
  request.url = with_query(options.enrollment_url, query);
  send(now, std::move(request));
}

void ScepClient::send_message(TimePoint now, Bytes message) {
  const auto& options = trustpoint_.options();
  HttpRequest request;
  std::string query = "operation=PKIOperation";
  if (capabilities_ && capabilities_->post) {
    request.method = HttpMethod::post;
    request.content_type = "application/x-pki-message";
    request.body = std::move(message);
  } else {
    query += "&message=" + percent_encode(as_bytes(base64(message)));
  }
  request.url = with_query(options.enrollment_url, query);
  send(now, std::move(request));
}

Status ScepClient::on_ca_certificates(TimePoint now, const HttpResponse& response) {
  if (response.status != 200) return fail(http_failed, fmt::format("HTTP {}", response.status));
  std::vector<Certificate> offered;
  if (auto single = Certificate::from_der(response.body)) {
    offered.push_back(std::move(*single));
  } else {
    COHORT_TRY(auto bag, parse_certificate_bag(response.body));
    offered = std::move(bag.certificates);
  }
  const auto& options = trustpoint_.options();
  const std::string pinned = normal_fingerprint(options.fingerprint_sha256);
  std::optional<Certificate> anchor = anchor_of(offered);
  for (const auto& certificate : offered)
    if (!pinned.empty() && certificate.fingerprint(crypto::Hash::sha256) == pinned)
      anchor = certificate;
  if (!anchor) return fail(not_a_ca, fmt::format("{} certificates offered", offered.size()));

  const std::string fingerprint = anchor->fingerprint(crypto::Hash::sha256);
  if (!pinned.empty() && fingerprint != pinned) {
    advance(EnrolEvent::ca_is_another);
    const std::string detail = fmt::format("pinned {}, offered {}", pinned, fingerprint);
    world_.outbox.report(
        {&ca_not_accepted,
         {{"trustpoint", trustpoint_.name()}, {"pinned", pinned}, {"offered", fingerprint}}});
    return fail(ca_fingerprint_mismatch, detail);
  }
  // Of the rest, only what leads to the anchor.
  const Trust trust{{*anchor}, {}, {}, RevocationCheck::none, {}, options.allow_weak};
  offered_anchors_ = {*anchor};
  offered_others_.clear();
  for (const auto& other : offered)
    if (!(other == *anchor) && trust.build_chain(other, offered, world_.clock.wall()))
      offered_others_.push_back(other);
  offer_ = CaOffer{anchor->subject(), anchor->not_after(), anchor->fingerprint(crypto::Hash::md5),
                   anchor->fingerprint(crypto::Hash::sha1), fingerprint};
  if (!pinned.empty()) return accept_offer(now);
  advance(EnrolEvent::decision_wanted);
  world_.outbox.report({&ca_decision_wanted,
                        {{"trustpoint", trustpoint_.name()},
                         {"subject", offer_->subject},
                         {"fingerprint_sha256", fingerprint}}});
  return {};
}

std::vector<Certificate> ScepClient::signers() const {
  return trustpoint_.ca_certificates();
}

/// The label of the key pair for a new request. A renewal with a new key alternates between two, so
/// that the old pair stays until the new certificate is there.
std::string ScepClient::label_for_request() const {
  const auto& options = trustpoint_.options();
  if (!trustpoint_.certificate() || !trustpoint_.identity()) return options.key.label;
  if (!options.regenerate_key) return trustpoint_.key_label();
  return trustpoint_.key_label() == options.key.label ? options.key.label + ".next"
                                                      : options.key.label;
}

/// Whether the next request needs a key pair that is yet to be made.
Result<bool> ScepClient::needs_new_key() const {
  if (transaction_) return false;
  const std::string label = label_for_request();
  const bool renewal = trustpoint_.certificate() && trustpoint_.identity();
  // What lies under the other label is left from an earlier renewal, unless it was made for this.
  if (renewal) return trustpoint_.options().regenerate_key && fresh_key_ != label;
  COHORT_TRY(const auto present, keys_.find(label));
  return !present;
}

Result<KeyPair> ScepClient::key_for_request() const {
  const std::string label = label_for_request();
  COHORT_TRY(auto present, keys_.find(label));
  if (!present) return fail(key_pair_missing, label);
  return std::move(*present);
}

Result<ScepTransaction> ScepClient::new_transaction() {
  const auto identity = trustpoint_.identity();
  COHORT_TRY(const KeyPair pair, key_for_request());
  COHORT_TRY(RequestContents contents, request_contents(trustpoint_.options()));
  ScepTransaction out;
  out.id = to_hex(world_.random.bytes(16));
  out.key_label = pair.label;
  out.renewal = identity.has_value();
  if (out.renewal) {
    contents.subject_der = trustpoint_.certificate()->subject_der();
    // An address that the operator asked for may have been in an earlier life of this process.
    if (!trustpoint_.options().ip_address)
      contents.san_addresses = trustpoint_.certificate()->describe().san_addresses;
  }
  COHORT_TRY(const auto request,
             CertificateRequest::make(contents, pair.key, crypto::Hash::sha256));
  out.csr = request.der();
  out.signer_key_label = out.renewal ? trustpoint_.key_label() : pair.label;
  if (out.renewal) {
    out.signer = identity->chain.front();
    return out;
  }
  COHORT_TRY(const Certificate signer,
             self_signed(pair.key, contents.subject_der, crypto::Hash::sha256,
                         world_.clock.wall().time_since_epoch().count()));
  out.signer = signer.der();
  return out;
}

Result<Bytes> ScepClient::build(ScepType type, ByteView data, std::string_view transaction_id,
                                const Certificate& signer, const crypto::PrivateKey& key) {
  const ScepCapabilities can = capabilities_.value_or(ScepCapabilities{});
  const auto recipient = recipient_of(trustpoint_.ca_certificates());
  if (!recipient) return fail(scep_bad_envelope, "no CA certificate with an RSA key");
  ScepMessage message;
  message.type = type;
  message.transaction_id = std::string(transaction_id);
  world_.random.fill(nonce_);
  message.sender_nonce = nonce_;
  reply_transaction_id_ = message.transaction_id;
  message.hash = can.sha_256   ? crypto::Hash::sha256
                 : can.sha_512 ? crypto::Hash::sha512
                               : crypto::Hash::sha1;
  message.cipher = can.aes          ? ScepCipher::aes_128
                   : can.triple_des ? ScepCipher::triple_des
                                    : ScepCipher::des;
  COHORT_TRY(message.envelope, codec_.seal(data, {recipient, {}}, message.cipher));
  return codec_.sign(message, signer, key);
}

Status ScepClient::send_request(TimePoint now) {
  if (!transaction_) {
    COHORT_TRY(transaction_, new_transaction());
    COHORT_CHECK(save_transaction());
    fresh_key_.clear();
    if (transaction_->renewal)
      world_.outbox.report({&renewal_started, {{"trustpoint", trustpoint_.name()}}});
  }
  COHORT_TRY(const Certificate signer, Certificate::from_der(transaction_->signer));
  COHORT_TRY(const auto pair, keys_.find(transaction_->signer_key_label));
  if (!pair) {
    drop_transaction();
    return fail(key_pair_missing, "the key of the request in flight");
  }
  const bool renewal_req = transaction_->renewal && capabilities_ && capabilities_->renewal;
  COHORT_TRY(Bytes message, build(renewal_req ? ScepType::renewal_req : ScepType::pkcs_req,
                                  transaction_->csr, transaction_->id, signer, pair->key));
  send_message(now, std::move(message));
  return {};
}

Status ScepClient::send_poll(TimePoint now) {
  COHORT_TRY(const Certificate signer, Certificate::from_der(transaction_->signer));
  COHORT_TRY(const auto pair, keys_.find(transaction_->signer_key_label));
  COHORT_TRY(const auto request, CertificateRequest::from_der(transaction_->csr));
  const auto ca = issuing_ca(trustpoint_.ca_certificates());
  if (!ca) return fail(not_a_ca, trustpoint_.name());
  if (!pair) {
    drop_transaction();
    return fail(key_pair_missing, "the key of the request in flight");
  }
  COHORT_TRY(
      Bytes message,
      build(ScepType::cert_poll, encode(IssuerAndSubject{ca->subject_der(), request.subject_der()}),
            transaction_->id, signer, pair->key));
  send_message(now, std::move(message));
  return {};
}

Result<ScepMessage> ScepClient::read_reply(ByteView body, const Certificate& recipient,
                                           const crypto::PrivateKey& key) {
  COHORT_TRY(ScepMessage message, codec_.parse(body, signers()));
  if (message.type != ScepType::cert_rep)
    return fail(scep_wrong_type, std::string(name_of(message.type)));
  if (message.transaction_id != reply_transaction_id_)
    return fail(scep_wrong_answer, "transactionID");
  if (!message.recipient_nonce || *message.recipient_nonce != nonce_)
    return fail(scep_wrong_answer, "recipientNonce");
  if (message.status == PkiStatus::failure) {
    std::string detail(sentence_of(*message.fail_info));
    if (!message.fail_text.empty()) detail += fmt::format("; it says: {}", message.fail_text);
    return fail(scep_rejected, detail);
  }
  if (message.status == PkiStatus::success)
    COHORT_CHECK(codec_.open(message, recipient, key, trustpoint_.options().challenge_password));
  return message;
}

Status ScepClient::on_reply(TimePoint now, const HttpResponse& response) {
  if (response.status != 200) return fail(http_failed, fmt::format("HTTP {}", response.status));
  COHORT_TRY(const Certificate signer, Certificate::from_der(transaction_->signer));
  COHORT_TRY(const auto pair, keys_.find(transaction_->signer_key_label));
  if (!pair) return fail(key_pair_missing, transaction_->signer_key_label);
  auto message = read_reply(response.body, signer, pair->key);
  if (!message) {
    // The CA's no ends the transaction; anything else may be a forgery or an accident.
    if (message.error().is(scep_rejected)) drop_transaction();
    return fail(std::move(message).error());
  }
  if (message->status == PkiStatus::success) return take_granted(now, *message);
  if (!transaction_->pending) {
    transaction_->pending = true;
    COHORT_CHECK(save_transaction());
  }
  wait_for_operator(now);
  return {};
}

Status ScepClient::take_granted(TimePoint now, const ScepMessage& message) {
  COHORT_TRY(const auto bag, parse_certificate_bag(message.data));
  COHORT_TRY(const auto pair, keys_.find(transaction_->key_label));
  if (!pair) return fail(key_pair_missing, transaction_->key_label);
  const Bytes spki = pair->key.public_key().spki();
  const auto ours = std::find_if(
      bag.certificates.begin(), bag.certificates.end(),
      [&](const Certificate& certificate) { return certificate.public_key().spki() == spki; });
  if (ours == bag.certificates.end()) return fail(scep_wrong_certificate);
  Trust trust = trustpoint_.trust();
  trust.revocation_check = RevocationCheck::none;
  COHORT_TRY(auto chain, trust.build_chain(*ours, bag.certificates, world_.clock.wall()));
  std::vector<Certificate> intermediates(chain.begin() + 1, chain.end());
  if (!intermediates.empty() && intermediates.back().is_self_issued()) intermediates.pop_back();
  const std::string old_label = trustpoint_.key_label();
  COHORT_CHECK(trustpoint_.install(*pair, *ours, std::move(intermediates)));
  // The old key has served; a removal that fails leaves it for the next renewal to remove.
  if (!old_label.empty() && old_label != pair->label) (void)keys_.remove(old_label);
  world_.outbox.report({&certificate_installed,
                        {{"trustpoint", trustpoint_.name()},
                         {"subject", ours->subject()},
                         {"serial", ours->serial()},
                         {"not_after", to_text(ours->not_after())}}});
  drop_transaction();
  renew_now_ = false;
  granted_ = world_.clock.wall();
  failures_ = 0;
  last_error_.reset();
  if (wants_crl()) {
    advance(EnrolEvent::crl_wanted);
    if (auto sent = send_crl_request(now); !sent) crl_failed_with(now, std::move(sent).error());
    return {};
  }
  advance(EnrolEvent::nothing_wanted);
  rest(now);
  return {};
}

/// From the certificate's distribution point when it names one by HTTP, else by SCEP.
Status ScepClient::send_crl_request(TimePoint now) {
  const auto identity = trustpoint_.identity();
  if (!identity) return fail(renewal_impossible, "no valid certificate to ask with");
  const Certificate& certificate = *trustpoint_.certificate();
  for (const auto& url : certificate.describe().crl_urls) {
    if (!url.starts_with("http://")) continue;
    reply_transaction_id_.clear();
    HttpRequest request;
    request.url = url;
    send(now, std::move(request));
    return {};
  }
  COHORT_TRY(const Bytes wanted,
             encode(IssuerAndSerial{certificate.issuer_der(), certificate.serial()}));
  COHORT_TRY(Bytes message, build(ScepType::get_crl, wanted, to_hex(world_.random.bytes(16)),
                                  certificate, identity->key));
  send_message(now, std::move(message));
  return {};
}

Status ScepClient::on_crl(TimePoint now, const HttpResponse& response) {
  if (response.status != 200) return fail(http_failed, fmt::format("HTTP {}", response.status));
  std::vector<Crl> lists;
  if (reply_transaction_id_.empty()) {
    COHORT_TRY(Crl list, Crl::from_der(response.body));
    lists.push_back(std::move(list));
  } else {
    const auto identity = trustpoint_.identity();
    if (!identity) return fail(renewal_impossible, trustpoint_.name());
    COHORT_TRY(const auto message,
               read_reply(response.body, *trustpoint_.certificate(), identity->key));
    COHORT_TRY(auto bag, parse_certificate_bag(message.data));
    lists = std::move(bag.crls);
  }
  if (lists.empty()) return fail(bad_crl, "the answer holds none");
  const auto& options = trustpoint_.options();
  Duration wait = options.crl_refresh_max;
  for (const auto& list : lists) {
    COHORT_CHECK(trustpoint_.install_crl(list));
    const auto next = list.next_update();
    if (!next) continue;
    // Fetched again when three quarters of its time are over, so that there is time for retries.
    const auto left = *next - world_.clock.wall();
    wait = std::clamp(Duration(left) * 3 / 4, Duration(options.retry_interval), wait);
  }
  world_.outbox.report(
      {&crl_installed,
       {{"trustpoint", trustpoint_.name()}, {"entries", std::to_string(lists.front().size())}}});
  crl_now_ = false;
  crl_failures_ = 0;
  last_error_.reset();
  next_crl_ = now + wait;
  advance(EnrolEvent::nothing_wanted);
  rest(now);
  return {};
}

}  // namespace cohort::pki
