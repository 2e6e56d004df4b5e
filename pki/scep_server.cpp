#include "pki/scep_server.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

constexpr std::string_view type_message = "application/x-pki-message";
constexpr std::string_view type_certificate = "application/x-x509-ca-cert";
constexpr std::string_view type_certificates = "application/x-x509-ca-ra-cert";
constexpr std::string_view type_crl = "application/pkix-crl";
constexpr std::string_view type_text = "text/plain";

HttpResponse answer(std::string_view type, Bytes body) {
  return {200, std::string(type), std::move(body)};
}

/// %xx to octets; '+' stays, since base64 has it and clients forget to escape it.
Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const auto octet = from_hex(text.substr(i + 1, 2));
    if (!octet || octet->size() != 1) return fail(http_bad_request, "a broken %xx in the query");
    out.push_back(static_cast<char>(octet->front()));
    i += 2;
  }
  return out;
}

/// Base64 as clients put it into a query: a '+' may have become a space, padding may be missing.
Result<Bytes> base64_decode(std::string_view text) {
  Bytes out;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const char c : text) {
    std::uint32_t value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<std::uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    else if (c >= '0' && c <= '9')
      value = static_cast<std::uint32_t>(c - '0' + 52);
    else if (c == '+' || c == ' ')
      value = 62;
    else if (c == '/')
      value = 63;
    else if (c == '=' || c == '\n' || c == '\r')
      continue;
    else
      return fail(http_bad_request, "the message is not base64");
    buffer = buffer << 6 | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<std::uint8_t>(buffer >> bits & 0xff));
  }
  return out;
}

/// What can't be decrypted and what decrypts to nonsense look alike from outside: whoever could
/// tell them apart would decrypt an overheard request, and its challenge password, by asking often
/// enough (the padding oracle of CBC). Our own log tells them apart.
bool is_unreadable(const Error& error) {
  return error.is(scep_bad_envelope) || error.is(scep_bad_content) ||
         error.is(bad_request_pkcs10) || error.is(request_signature_bad);
}

/// RFC 8894 table 5 for our reasons.
FailInfo fail_info_of(const Error& error) {
  if (is_unreadable(error)) return FailInfo::bad_message_check;
  if (error.is(scep_weak_algorithm) || error.is(scep_unknown_algorithm) ||
      error.is(request_key_weak))
    return FailInfo::bad_alg;
  if (error.is(scep_bad_signature) || error.is(signer_key_mismatch))
    return FailInfo::bad_message_check;
  if (error.is(serial_unknown) || error.is(request_unknown)) return FailInfo::bad_cert_id;
  return FailInfo::bad_request;
}

unsigned http_status_of(const Error& error) {
  if (error.is(scep_too_large)) return 413;
  if (error.is(scep_unknown_operation)) return 404;
  if (error.is(too_many_requests_of_source)) return 429;
  if (error.is(too_many_requests)) return 503;
  const bool ours =
      error.is(ca_database_failed) || error.is(ca_database_damaged) || error.is(openssl_failed);
  return ours ? 500 : 400;
}

/// The envelope of the answer uses what the request did, so that the client surely reads it.
ScepRecipient recipient_of(const ScepMessage& request) {
  ScepRecipient out;
  out.certificate = request.signer;
  const bool can_decrypt = request.signer->public_key().type() == crypto::KeyType::rsa;
  if (can_decrypt || (request.type != ScepType::pkcs_req && request.type != ScepType::renewal_req))
    return out;
  if (const auto csr = CertificateRequest::from_der(request.data))
    out.password = csr->challenge_password();
  return out;
}

}  // namespace

/// The two parameters of SCEP's query string.
struct ScepServer::Query {
  std::string operation;
  std::string message;

  static Result<Query> parse(std::string_view url) {
    Query out;
    const std::size_t mark = url.find('?');
    if (mark == std::string_view::npos) return out;
    std::string_view rest = url.substr(mark + 1);
    while (!rest.empty()) {
      const std::string_view pair = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos) continue;
      COHORT_TRY(std::string value, percent_decode(pair.substr(equals + 1)));
      if (pair.substr(0, equals) == "operation")
        out.operation = std::move(value);
      else if (pair.substr(0, equals) == "message")
        out.message = std::move(value);
    }
    return out;
  }
};

ScepServer::ScepServer(CertificateAuthority& ca, World& world)
    : ca_(ca),
      world_(world),
      codec_(ca.options().allow_weak),
      rate_(ca.options().requests_per_second, ca.options().requests_per_second_per_source) {}

ScepServer::~ScepServer() = default;

void ScepServer::refuse(Error error, std::string_view peer) {
  ++counters_.refused;
  world_.outbox.refuse({std::move(error), "scep", std::string(peer)});
}

HttpResponse ScepServer::handle(const HttpRequest& request) {
  ++counters_.requests;
  auto response = dispatch(request);
  if (response) return std::move(*response);
  const unsigned status = http_status_of(response.error());
  // The reason's own sentence, and nothing of what the request or our disk holds.
  const std::string text = fmt::format("{}\n", response.error().reason().sentence);
  refuse(std::move(response).error(), request.peer);
  return {status, std::string(type_text), to_bytes(as_bytes(text))};
}

Result<HttpResponse> ScepServer::dispatch(const HttpRequest& request) {
  if (request.url.size() > http_url_max || request.body.size() > http_body_max)
    return fail(scep_too_large, fmt::format("{} octets", request.url.size() + request.body.size()));
  const std::string_view path = std::string_view(request.url).substr(0, request.url.find('?'));
  if (path.ends_with(".crl")) {
    COHORT_CHECK(admit(request.peer));
    return crl();
  }
  COHORT_TRY(const Query query, Query::parse(request.url));
  // RFC 8894 section 4.3: nothing but a PKIOperation can be posted, so some do not say it.
  const bool posted = request.method == HttpMethod::post && query.operation.empty();
  if (posted || query.operation == "PKIOperation") {
    COHORT_CHECK(admit(request.peer));
    if (request.method == HttpMethod::post) return pki_operation(request.body, request.peer);
    COHORT_TRY(const Bytes message, base64_decode(query.message));
    return pki_operation(message, request.peer);
  }
  if (request.method != HttpMethod::get)
    return fail(http_bad_request, "only PKIOperation can be posted");
  if (query.operation == "GetCACaps") return capabilities();
  if (query.operation == "GetCACert") return ca_certificate();
  return fail(scep_unknown_operation, query.operation.substr(0, 32));
}

/// Whether there is room for one more request that costs us a private-key operation.
Status ScepServer::admit(std::string_view peer) {
  switch (rate_.take(world_.clock.now(), peer)) {
    case RequestRate::Verdict::allowed:
      return {};
    case RequestRate::Verdict::source_exceeded:
      ++counters_.throttled;
      return fail(too_many_requests_of_source);
    case RequestRate::Verdict::all_exceeded:
      break;
  }
  ++counters_.throttled;
  return fail(too_many_requests);
}

HttpResponse ScepServer::capabilities() const {
  std::string text = "AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-512\nSCEPStandard\n";
  // Debian's strongSwan sees SHA-256 and AES only where DES3 is listed as well.
  if (codec_.allow_weak()) text += "DES3\nSHA-1\n";
  return answer(type_text, to_bytes(as_bytes(text)));
}

Result<HttpResponse> ScepServer::ca_certificate() const {
  const Certificate& message_certificate = ca_.message_key().certificate;
  if (message_certificate == ca_.certificate())
    return answer(type_certificate, ca_.certificate().der());
  COHORT_TRY(Bytes bag, encode(CertificateBag{{message_certificate, ca_.certificate()}, {}}));
  return answer(type_certificates, std::move(bag));
}

Result<HttpResponse> ScepServer::crl() {
  COHORT_TRY(const Crl list, ca_.crl());
  return answer(type_crl, list.der());
}

Result<HttpResponse> ScepServer::pki_operation(ByteView octets, std::string_view peer) {
  // What can't even be verified has no transaction to answer: an HTTP error says why.
  COHORT_TRY(ScepMessage request, codec_.parse(octets, {}));
  if (request.type == ScepType::cert_rep) return fail(scep_wrong_type, "CertRep");

  ScepMessage reply;
  reply.type = ScepType::cert_rep;
  reply.transaction_id = request.transaction_id;
  reply.recipient_nonce = request.sender_nonce;
  world_.random.fill(reply.sender_nonce);
  reply.hash = request.hash;

  const CaMessageKey& ours = ca_.message_key();
  const Status opened = codec_.open(request, ours.certificate, ours.key);
  auto outcome = opened ? operate(request) : Result<std::optional<Bytes>>(fail(opened.error()));
  if (outcome && *outcome) {
    COHORT_TRY(reply.envelope, codec_.seal(**outcome, recipient_of(request), request.cipher));
    reply.status = PkiStatus::success;
  } else if (outcome) {
    ++counters_.pending;
    reply.status = PkiStatus::pending;
  } else {
    reply.status = PkiStatus::failure;
    reply.fail_info = fail_info_of(outcome.error());
    reply.fail_text = is_unreadable(outcome.error())
                          ? "the enveloped part can't be decrypted, or is no such request"
                          : outcome.error().reason().sentence;
    refuse(std::move(outcome).error(), peer);
  }
  COHORT_TRY(Bytes der, codec_.sign(reply, ours.certificate, ours.key));
  return answer(type_message, std::move(der));
}

Result<std::optional<Bytes>> ScepServer::operate(const ScepMessage& message) {
  switch (message.type) {
    case ScepType::pkcs_req:
    case ScepType::renewal_req:
      return enrol(message);
    case ScepType::cert_poll:
      return poll(message);
    case ScepType::get_cert:
      return get_certificate(message);
    case ScepType::get_crl:
      return get_crl(message);
    case ScepType::cert_rep:
      break;
  }
  return fail(scep_wrong_type, std::string(name_of(message.type)));
}

/// PKCSReq and RenewalReq. A renewal is known by its signer, since older clients renew by a
/// PKCSReq that the old certificate signs.
Result<std::optional<Bytes>> ScepServer::enrol(const ScepMessage& message) {
  COHORT_TRY(CertificateRequest request, CertificateRequest::from_der(message.data));
  Submission submission{std::move(request), message.transaction_id, std::nullopt};
  const bool same_key = message.signer->spki_sha256() == submission.request.spki_sha256();
  const bool renewal = message.type == ScepType::renewal_req;
  const bool by_ours = ca_.has_signed(*message.signer);
  // An expired or revoked certificate vouches for nothing, but its key may still ask anew.
  const bool vouches = by_ours && (renewal || !same_key || ca_.check_issued(*message.signer));
  if (renewal && !by_ours) return fail(renewal_signer_bad, message.signer->issuer());
  if (!vouches && !same_key) return fail(signer_key_mismatch, message.signer->subject());
  if (vouches) submission.renewed = message.signer;
  COHORT_TRY(const Decision decision, ca_.submit(submission));
  return answer_of(decision);
}

Result<std::optional<Bytes>> ScepServer::poll(const ScepMessage& message) {
  COHORT_CHECK(parse_issuer_and_subject(message.data).map([](const auto&) {}));
  COHORT_TRY(const Decision decision, ca_.poll(message.transaction_id, *message.signer));
  return answer_of(decision);
}

Result<std::optional<Bytes>> ScepServer::answer_of(const Decision& decision) {
  if (!decision.certificate) return std::optional<Bytes>();
  ++counters_.granted;
  // Alone: DER sorts the set, and some clients take whatever comes first.
  COHORT_TRY(Bytes bag, encode(CertificateBag{{*decision.certificate}, {}}));
  return std::optional(std::move(bag));
}

Result<std::optional<Bytes>> ScepServer::get_certificate(const ScepMessage& message) {
  COHORT_TRY(const IssuerAndSerial wanted, parse_issuer_and_serial(message.data));
  if (!same_name(wanted.issuer_der, ca_.certificate().subject_der()))
    return fail(serial_unknown, "of another issuer");
  COHORT_TRY(Certificate certificate, ca_.find(wanted.serial));
  COHORT_TRY(Bytes bag, encode(CertificateBag{{std::move(certificate)}, {}}));
  return std::optional(std::move(bag));
}

Result<std::optional<Bytes>> ScepServer::get_crl(const ScepMessage& message) {
  COHORT_TRY(const IssuerAndSerial wanted, parse_issuer_and_serial(message.data));
  if (!same_name(wanted.issuer_der, ca_.certificate().subject_der()))
    return fail(serial_unknown, "of another issuer");
  COHORT_TRY(Crl list, ca_.crl());
  COHORT_TRY(Bytes bag, encode(CertificateBag{{}, {std::move(list)}}));
  return std::optional(std::move(bag));
}

}  // namespace cohort::pki
