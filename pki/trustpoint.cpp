#include "pki/trustpoint.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/reasons.hpp"

namespace cohort::pki {

namespace {

/// One blob of text: "anchors: 1\n" or "key: LABEL\n", then PEM certificates.
std::string join(std::string_view key, std::string_view value,
                 std::span<const Certificate> certificates) {
  std::string out = fmt::format("{}: {}\n", key, value);
  for (const auto& certificate : certificates) out += certificate.pem();
  return out;
}

struct Blob {
  std::string value;
  std::vector<Certificate> certificates;
};

Result<Blob> split(std::string_view key, ByteView octets) {
  const std::string_view text(reinterpret_cast<const char*>(octets.data()), octets.size());
  const std::string head = fmt::format("{}: ", key);
  const std::size_t end = text.find('\n');
  if (!text.starts_with(head) || end == std::string_view::npos) return fail(trustpoint_damaged);
  auto certificates = Certificate::list_from_pem(text.substr(end + 1));
  if (!certificates) return fail(trustpoint_damaged, certificates.error().text());
  return Blob{std::string(text.substr(head.size(), end - head.size())), std::move(*certificates)};
}

std::vector<Bytes> ders(std::span<const Certificate> certificates) {
  std::vector<Bytes> out;
  for (const auto& certificate : certificates) out.push_back(certificate.der());
  return out;
}

}  // namespace

Trustpoint::Trustpoint(TrustpointOptions options, Store& store, const Clock& clock)
    : options_(std::move(options)),
      open_{options_.challenge_password.empty(), !options_.serial_number, !options_.ip_address},
      store_(store),
      clock_(clock) {
  trust_.revocation_check = options_.revocation_check;
  trust_.peer_eku = options_.peer_eku;
  trust_.allow_weak = options_.allow_weak;
}

Status Trustpoint::use(RequestAnswers answers) {
  if (open_.serial_number && answers.serial_number)
    COHORT_CHECK(name_to_der(std::vector<NameAttribute>{{"serialNumber", *answers.serial_number}})
                     .map([](const Bytes&) {}));
  if (open_.challenge_password) options_.challenge_password = std::move(answers.challenge_password);
  if (open_.serial_number) options_.serial_number = std::move(answers.serial_number);
  if (open_.ip_address) options_.ip_address = answers.ip_address;
  return {};
}

std::string Trustpoint::blob(std::string_view what) const {
  return fmt::format("trustpoints/{}/{}", store_name(options_.name), what);
}

Status Trustpoint::load(const KeyPairs& keys) {
  COHORT_CHECK(load_ca());
  COHORT_CHECK(load_identity(keys));
  return load_crls();
}

Status Trustpoint::load_ca() {
  COHORT_TRY(const auto stored, store_.get(blob("ca.pem")));
  if (!stored) return {};
  COHORT_TRY(auto parts, split("anchors", *stored));
  std::size_t anchors = 0;
  const char* end = parts.value.data() + parts.value.size();
  if (std::from_chars(parts.value.data(), end, anchors).ptr != end || anchors == 0 ||
      anchors > parts.certificates.size())
    return fail(trustpoint_damaged, blob("ca.pem"));
  const auto middle = parts.certificates.begin() + static_cast<std::ptrdiff_t>(anchors);
  trust_.anchors.assign(parts.certificates.begin(), middle);
  trust_.intermediates.assign(middle, parts.certificates.end());
  return {};
}

Status Trustpoint::load_identity(const KeyPairs& keys) {
  COHORT_TRY(const auto stored, store_.get(blob("identity.pem")));
  if (!stored) return {};
  COHORT_TRY(auto parts, split("key", *stored));
  COHORT_TRY(auto pair, keys.find(parts.value));
  if (!pair) return fail(key_pair_missing, parts.value);
  key_ = std::move(pair->key);
  key_label_ = parts.value;
  certificate_ = parts.certificates.front();
  chain_.assign(parts.certificates.begin() + 1, parts.certificates.end());
  return {};
}

Status Trustpoint::load_crls() {
  COHORT_TRY(const auto stored, store_.get(blob("crls.der")));
  if (!stored) return {};
  Reader reader(*stored);
  trust_.crls.clear();
  while (!reader.empty()) {
    const ByteView der = reader.take(reader.u32());
    auto crl = Crl::from_der(der);
    if (!reader.ok() || !crl) return fail(trustpoint_damaged, blob("crls.der"));
    trust_.crls.push_back(std::move(*crl));
  }
  return {};
}

std::vector<Certificate> Trustpoint::ca_certificates() const {
  std::vector<Certificate> out = trust_.anchors;
  out.insert(out.end(), trust_.intermediates.begin(), trust_.intermediates.end());
  return out;
}

std::optional<LocalIdentity> Trustpoint::identity() const {
  if (!certificate_ || !key_) return std::nullopt;
  const WallTime now = clock_.wall();
  if (now < certificate_->not_before() || now > certificate_->not_after()) return std::nullopt;
  LocalIdentity out{{certificate_->der()}, *key_, certificate_->subject_der()};
  for (Bytes& der : ders(chain_)) out.chain.push_back(std::move(der));
  return out;
}

std::vector<Bytes> Trustpoint::issuers() const {
  std::vector<Bytes> out;
  for (const auto& certificate : ca_certificates())
    if (certificate.is_ca()) out.push_back(certificate.subject_der());
  return out;
}

Result<PeerIdentity> Trustpoint::verify(std::span<const Bytes> chain) const {
  COHORT_TRY(const Certificate leaf, trust_.verify(chain, clock_.wall()));
  return identity_of(leaf);
}

Status Trustpoint::accept_ca(std::vector<Certificate> anchors, std::vector<Certificate> others) {
  if (anchors.empty()) return fail(not_authenticated, "no CA certificate given");
  for (const auto& anchor : anchors)
    if (!anchor.is_ca()) return fail(not_a_ca, anchor.subject());
  std::vector<Certificate> all = anchors;
  all.insert(all.end(), others.begin(), others.end());
  const std::string text = join("anchors", std::to_string(anchors.size()), all);
  COHORT_CHECK(store_.put(blob("ca.pem"), as_bytes(text)));
  trust_.anchors = std::move(anchors);
  trust_.intermediates = std::move(others);
  return {};
}

Status Trustpoint::install(const KeyPair& pair, Certificate certificate,
                           std::vector<Certificate> intermediates) {
  if (certificate.public_key().spki() != pair.key.public_key().spki())
    return fail(scep_wrong_certificate, "the certificate is for another key");
  std::vector<Certificate> all{certificate};
  all.insert(all.end(), intermediates.begin(), intermediates.end());
  COHORT_CHECK(store_.put(blob("identity.pem"), as_bytes(join("key", pair.label, all))));
  certificate_ = std::move(certificate);
  chain_ = std::move(intermediates);
  key_ = pair.key;
  key_label_ = pair.label;
  return {};
}

Status Trustpoint::install_crl(Crl crl) {
  const auto known = ca_certificates();
  if (std::none_of(known.begin(), known.end(),
                   [&](const Certificate& ca) { return ca.is_ca() && crl.signed_by(ca); }))
    return fail(bad_crl,
                fmt::format("no CA of the trustpoint has signed the list of {}", crl.issuer()));
  std::vector<Crl> next;
  for (const auto& have : trust_.crls) {
    const bool same_issuer = have.issuer_der() == crl.issuer_der();
    if (same_issuer && have.this_update() > crl.this_update()) return {};
    if (!same_issuer) next.push_back(have);
  }
  next.push_back(std::move(crl));
  Writer writer;
  for (const auto& each : next) {
    const Bytes der = each.der();
    writer.u32(static_cast<std::uint32_t>(der.size())).bytes(der);
  }
  COHORT_CHECK(store_.put(blob("crls.der"), writer.view()));
  trust_.crls = std::move(next);
  return {};
}

Status Trustpoint::clear() {
  for (const std::string_view what : {"identity.pem", "ca.pem", "crls.der"}) {
    COHORT_TRY(const auto stored, store_.get(blob(what)));
    if (stored) COHORT_CHECK(store_.remove(blob(what)));
  }
  trust_.anchors.clear();
  trust_.intermediates.clear();
  trust_.crls.clear();
  certificate_.reset();
  chain_.clear();
  key_.reset();
  key_label_.clear();
  return {};
}

}  // namespace cohort::pki
