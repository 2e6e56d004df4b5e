#include "tests/exchange/test_pki.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdexcept>

#include "controlplane/crypto/hash.hpp"
#include "tests/exchange/harness.hpp"

namespace cohort::harness {

namespace {

template <typename T, int (*encode)(const T*, unsigned char**)>
Bytes der_of(const T* object) {
  unsigned char* out = nullptr;
  const int length = encode(object, &out);
  if (length <= 0) throw std::runtime_error("DER encoding");
  Bytes octets(out, out + length);
  OPENSSL_free(out);
  return octets;
}

std::shared_ptr<X509> parse(ByteView der) {
  const unsigned char* at = der.data();
  return {d2i_X509(nullptr, &at, static_cast<long>(der.size())), X509_free};
}

void add_name(X509_NAME* name, const char* type, const std::string& value) {
  X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) throw std::runtime_error("extension " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::shared_ptr<X509> begin(const std::string& common_name, const std::string& unit,
                            const crypto::PrivateKey& key, std::chrono::hours from,
                            std::chrono::hours to) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  const Bytes serial =
      crypto::digest(crypto::Hash::sha256, {as_bytes(common_name), key.public_key().spki()});
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), Reader(serial).u64() >> 1);
  const auto when = [](std::chrono::hours offset) {
    return static_cast<time_t>((start_of_tests + offset).time_since_epoch().count());
  };
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), when(from));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), when(to));
  X509_NAME* name = X509_get_subject_name(certificate.get());
  add_name(name, "O", "Cohort Test");
  if (!unit.empty()) add_name(name, "OU", unit);
  add_name(name, "CN", common_name);
  X509_set_pubkey(certificate.get(), key.handle());
  return certificate;
}

void finish(X509* certificate, X509* issuer, const crypto::PrivateKey& key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  if (X509_sign(certificate, key.handle(), EVP_sha256()) == 0)
    throw std::runtime_error("certificate signature");
}

Certified make_ca(const std::string& name, const crypto::PrivateKey& key, const TestCa* parent) {
  using std::chrono::hours;
  auto certificate = begin(name, "", key, hours{-48}, hours{24 * 3650});
  X509* issuer = parent ? parent->certificate().handle() : certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  add_extension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate.get(), issuer, NID_subject_key_identifier, "hash");
  finish(certificate.get(), issuer, parent ? parent->certificate().key() : key);
  return {certificate, key};
}

std::string name_text(X509_NAME* name) {
  BIO* bio = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(length));
  BIO_free(bio);
  return text;
}

std::vector<NameAttribute> attributes_of(X509_NAME* name) {
  std::vector<NameAttribute> attributes;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(value));
    attributes.push_back({OBJ_nid2sn(OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry))),
                          {text, static_cast<std::size_t>(ASN1_STRING_length(value))}});
  }
  return attributes;
}

void read_alternative_names(X509* certificate, PeerIdentity& identity) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    int type = 0;
    const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, &type));
    const ByteView octets(ASN1_STRING_get0_data(value),
                          static_cast<std::size_t>(ASN1_STRING_length(value)));
    const std::string text(octets.begin(), octets.end());
    if (type == GEN_DNS) identity.san_dns.push_back(text);
    if (type == GEN_EMAIL) identity.san_email.push_back(text);
    if (type == GEN_IPADD) identity.san_addresses.push_back(IpAddress::from_bytes(octets).value());
  }
  GENERAL_NAMES_free(names);
}

PeerIdentity identity_of(X509* certificate) {
  PeerIdentity identity;
  identity.by_certificate = true;
  X509_NAME* subject = X509_get_subject_name(certificate);
  identity.subject_der = der_of<X509_NAME, i2d_X509_NAME>(subject);
  identity.subject = name_text(subject);
  identity.attributes = attributes_of(subject);
  identity.issuer = name_text(X509_get_issuer_name(certificate));
  read_alternative_names(certificate, identity);
  identity.fingerprint_sha256 =
      to_hex(crypto::digest(crypto::Hash::sha256, {der_of<X509, i2d_X509>(certificate)}));
  identity.key = crypto::PublicKey::share(X509_get0_pubkey(certificate));
  return identity;
}

}  // namespace

const crypto::PrivateKey& test_key(crypto::KeyType type, unsigned which) {
  static std::map<std::pair<crypto::KeyType, unsigned>, crypto::PrivateKey> keys;
  auto found = keys.find({type, which});
  if (found == keys.end()) {
    auto key = type == crypto::KeyType::rsa ? crypto::PrivateKey::generate_rsa(2048)
                                            : crypto::PrivateKey::generate_ec(type);
    found = keys.emplace(std::pair{type, which}, std::move(key).value()).first;
  }
  return found->second;
}

const crypto::PrivateKey& weak_rsa_key() {
  static const auto key = crypto::PrivateKey::generate_rsa(1024).value();
  return key;
}

Bytes Certified::der() const {
  return der_of<X509, i2d_X509>(certificate_.get());
}

Bytes Certified::subject_der() const {
  return der_of<X509_NAME, i2d_X509_NAME>(X509_get_subject_name(certificate_.get()));
}

Certified certified_from_pem(std::string_view certificate, const crypto::PrivateKey& key) {
  BIO* bio = BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size()));
  std::shared_ptr<X509> parsed(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
  BIO_free(bio);
  if (!parsed) throw std::runtime_error("not a PEM certificate");
  return {parsed, key};
}

TestCa::TestCa(const std::string& common_name, crypto::KeyType type, unsigned which_key)
    : self_(make_ca(common_name, test_key(type, which_key), nullptr)) {}

TestCa::TestCa(const std::string& common_name, const TestCa& parent, unsigned which_key)
    : self_(make_ca(common_name, test_key(parent.self_.key().type(), which_key), &parent)) {}

Certified TestCa::issue(const LeafOptions& options) const {
  const crypto::PrivateKey key =
      options.key ? *options.key : test_key(options.type, options.which_key);
  auto certificate =
      begin(options.common_name, options.unit, key, options.valid_from, options.valid_to);
  X509* issuer = self_.handle();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  add_extension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature");
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ",") + name; };
  for (const auto& name : options.dns) add("DNS:" + name);
  for (const auto& name : options.email) add("email:" + name);
  for (const auto& address : options.addresses) add("IP:" + address.text());
  if (!names.empty()) add_extension(certificate.get(), issuer, NID_subject_alt_name, names);
  finish(certificate.get(), issuer, self_.key());
  return {certificate, key};
}

void TestCredentials::enrol(std::string_view trustpoint, const Certified& leaf,
                            const std::vector<Certified>& intermediates) {
  LocalIdentity identity{{leaf.der()}, leaf.key(), leaf.subject_der()};
  for (const auto& above : intermediates) identity.chain.push_back(above.der());
  local_.insert_or_assign(std::string(trustpoint), std::move(identity));
}

void TestCredentials::trust(std::string_view trustpoint, const Certified& root) {
  roots_[std::string(trustpoint)].push_back(root);
}

void TestCredentials::share_key(const IpAddress& peer, std::string_view key) {
  shared_keys_[peer] = key;
}

std::optional<LocalIdentity> TestCredentials::local(std::string_view trustpoint) const {
  const auto found = local_.find(std::string(trustpoint));
  if (found == local_.end()) return std::nullopt;
  return found->second;
}

std::vector<Bytes> TestCredentials::issuers(std::string_view trustpoint) const {
  std::vector<Bytes> names;
  const auto found = roots_.find(std::string(trustpoint));
  if (found == roots_.end()) return names;
  for (const auto& root : found->second) names.push_back(root.subject_der());
  return names;
}

Result<PeerIdentity> TestCredentials::verify(std::string_view trustpoint,
                                             std::span<const Bytes> chain) const {
  const auto found = roots_.find(std::string(trustpoint));
  if (found == roots_.end() || chain.empty()) return fail(untrusted_certificate, "nothing trusted");
  const auto leaf = parse(chain.front());
  if (!leaf) return fail(untrusted_certificate, "not a certificate");
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(),
                                                                      &X509_STORE_free);
  for (const auto& root : found->second) X509_STORE_add_cert(store.get(), root.handle());
  STACK_OF(X509)* others = sk_X509_new_null();
  std::vector<std::shared_ptr<X509>> keep;
  for (const Bytes& der : chain.subspan(1)) {
    keep.push_back(parse(der));
    if (keep.back()) sk_X509_push(others, keep.back().get());
  }
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(
      X509_STORE_CTX_new(), &X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), others);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()),
                             clock_.wall().time_since_epoch().count());
  const bool trusted = X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  sk_X509_free(others);
  if (!trusted) return fail(untrusted_certificate, X509_verify_cert_error_string(why));
  return identity_of(leaf.get());
}

std::optional<Secret> TestCredentials::pre_shared_key(const IpAddress& address) const {
  const auto found = shared_keys_.find(address);
  if (found == shared_keys_.end()) return std::nullopt;
  return Secret::of_text(found->second);
}

}  // namespace cohort::harness
