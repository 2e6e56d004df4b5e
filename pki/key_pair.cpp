#include "pki/key_pair.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

#include "controlplane/crypto/reasons.hpp"
#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

constexpr std::string_view index_blob = "keys/index";
constexpr std::string_view exportable_line = "exportable: yes\n";
constexpr std::string_view not_exportable_line = "exportable: no\n";

std::string blob_of(std::string_view label) {
  return "keys/" + store_name(label) + ".key";
}

Status check_size(crypto::KeyType type, std::size_t bits, bool allow_weak) {
  const std::size_t bits_min = allow_weak ? rsa_bits_weak_min : rsa_bits_min;
  if (type == crypto::KeyType::rsa && (bits < bits_min || bits > rsa_bits_max))
    return fail(bad_key_size, fmt::format("RSA of {} bits", bits));
  return {};
}

Status check_label(std::string_view label) {
  if (!is_good_label(label)) return fail(bad_key_label, fmt::format("{} characters", label.size()));
  return {};
}

}  // namespace

bool is_good_label(std::string_view label) {
  return !label.empty() && label.size() <= 64 &&
         std::all_of(label.begin(), label.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
         });
}

std::string store_name(std::string_view label) {
  std::string out;
  for (const char c : label) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (plain)
      out.push_back(c);
    else
      out += fmt::format("_{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<crypto::PrivateKey> generate_key(crypto::KeyType type, unsigned bits,
                                        const std::atomic<bool>* stop) {
  COHORT_CHECK(check_size(type, bits, true));
  return type == crypto::KeyType::rsa ? crypto::PrivateKey::generate_rsa(bits, stop)
                                      : crypto::PrivateKey::generate_ec(type);
}

Result<Secret> encrypted_pem(const crypto::PrivateKey& key, const Secret& passphrase,
                             KeyPemForm form) {
  if (passphrase.size() < passphrase_size_min) return fail(passphrase_missing);
  if (form == KeyPemForm::pkcs8) return key.to_pem(passphrase);
  const ossl::Bio bio = ossl::Bio(BIO_new(BIO_s_secmem()));
  const ByteView octets = passphrase.view();
  if (!bio || PEM_write_bio_PrivateKey_traditional(bio.get(), key.handle(), EVP_des_ede3_cbc(),
                                                   octets.data(), static_cast<int>(octets.size()),
                                                   nullptr, nullptr) != 1)
    return ossl::failed("traditional PEM");
  return Secret(ossl::contents(bio.get()));
}

KeyPairs::KeyPairs(Store& store, Secret storage_passphrase, bool allow_weak)
    : store_(store), storage_passphrase_(std::move(storage_passphrase)), allow_weak_(allow_weak) {}

Result<KeyPair> KeyPairs::generate(const KeyPairOptions& options) {
  COHORT_CHECK(check_label(options.label));
  COHORT_CHECK(check_size(options.type, options.bits, allow_weak_));
  COHORT_TRY(const auto present, find(options.label));
  if (present) return fail(key_pair_exists, options.label);  // before the long work
  COHORT_TRY(auto key, generate_key(options.type, options.bits));
  return add(options, std::move(key));
}

Result<KeyPair> KeyPairs::add(const KeyPairOptions& options, crypto::PrivateKey key) {
  COHORT_CHECK(check_label(options.label));
  COHORT_CHECK(check_size(key.type(), key.bits(), allow_weak_));
  COHORT_TRY(const auto present, find(options.label));
  if (present) return fail(key_pair_exists, options.label);
  KeyPair pair{options.label, options.exportable, std::move(key)};
  COHORT_CHECK(write(pair));
  return pair;
}

Status KeyPairs::write(const KeyPair& pair) {
  COHORT_TRY(const Secret pem, pair.key.to_pem(storage_passphrase_));
  const std::string_view head = pair.exportable ? exportable_line : not_exportable_line;
  Bytes blob;
  blob.reserve(head.size() + pem.size());
  blob.insert(blob.end(), head.begin(), head.end());
  blob.insert(blob.end(), pem.view().begin(), pem.view().end());
  const Secret wiped = Secret::take(std::move(blob));
  COHORT_CHECK(store_.put(blob_of(pair.label), wiped.view()));
  COHORT_TRY(auto names, labels());
  if (std::find(names.begin(), names.end(), pair.label) != names.end()) return {};
  names.push_back(pair.label);
  return write_index(names);
}

Status KeyPairs::write_index(const std::vector<std::string>& labels) {
  std::string text;
  for (const auto& label : labels) text += label + "\n";
  return store_.put(index_blob, as_bytes(text));
}

Result<std::optional<KeyPair>> KeyPairs::find(std::string_view label) const {
  COHORT_CHECK(check_label(label));
  COHORT_TRY(auto blob, store_.get(blob_of(label)));
  if (!blob) return std::nullopt;
  const Secret wiped = Secret::take(std::move(*blob));
  const std::string_view text(reinterpret_cast<const char*>(wiped.view().data()), wiped.size());
  const bool exportable = text.starts_with(exportable_line);
  if (!exportable && !text.starts_with(not_exportable_line))
    return fail(key_pair_damaged, std::string(label));
  const std::string_view pem =
      text.substr(exportable ? exportable_line.size() : not_exportable_line.size());
  auto key = crypto::PrivateKey::from_pem(pem, storage_passphrase_);
  ERR_clear_error();
  if (!key) return fail(key_pair_damaged, std::string(label));
  return KeyPair{std::string(label), exportable, std::move(*key)};
}

Status KeyPairs::remove(std::string_view label) {
  COHORT_TRY(const auto present, store_.get(blob_of(label)));
  if (!present) return fail(key_pair_missing, std::string(label));
  COHORT_CHECK(store_.remove(blob_of(label)));
  COHORT_TRY(auto names, labels());
  std::erase(names, label);
  return write_index(names);
}

Result<std::vector<std::string>> KeyPairs::labels() const {
  COHORT_TRY(const auto blob, store_.get(index_blob));
  std::vector<std::string> out;
  if (!blob) return out;
  std::string line;
  for (const std::uint8_t octet : *blob) {
    if (octet != '\n') {
      line.push_back(static_cast<char>(octet));
      continue;
    }
    COHORT_CHECK(check_label(line));
    COHORT_TRY(const auto present, store_.get(blob_of(line)));
    if (present) out.push_back(line);  // a crash may leave an entry without its key
    line.clear();
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<Secret> KeyPairs::export_pem(std::string_view label, const Secret& passphrase,
                                    KeyPemForm form) const {
  COHORT_TRY(const auto pair, find(label));
  if (!pair) return fail(key_pair_missing, std::string(label));
  if (!pair->exportable) return fail(key_not_exportable, std::string(label));
  return encrypted_pem(pair->key, passphrase, form);
}

Result<KeyPair> KeyPairs::import_pem(std::string_view label, std::string_view pem,
                                     const Secret& passphrase, bool exportable) {
  auto key = crypto::PrivateKey::from_pem(pem, passphrase);
  ERR_clear_error();
  if (!key) return fail(bad_pem_key);
  KeyPairOptions options;
  options.label = std::string(label);
  options.exportable = exportable;
  return add(options, std::move(*key));
}

}  // namespace cohort::pki
