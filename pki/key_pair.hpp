#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/key.hpp"
#include "controlplane/world/world.hpp"
#include "pki/options.hpp"

namespace cohort::pki {

/// A labelled key pair.
struct KeyPair {
  std::string label;
  bool exportable = false;
  crypto::PrivateKey key;
};

/// What an encrypted private key looks like outside.
enum class KeyPemForm : std::uint8_t {
  pkcs8,            ///< "BEGIN ENCRYPTED PRIVATE KEY", AES-256-CBC, PBKDF2
  traditional_3des  ///< "BEGIN RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED", DES-EDE3-CBC
};

inline constexpr std::size_t passphrase_size_min = 8;

/// Key pairs by label, in the World's Store under "keys/". With a storage passphrase the blobs are
/// encrypted PKCS#8, otherwise they rely on the store's file modes (0600). Called from the
/// control-plane thread only.
class KeyPairs {
 public:
  /// Keeps the store by reference. `allow_weak`: RSA from 1024 bits.
  explicit KeyPairs(Store& store, Secret storage_passphrase = {}, bool allow_weak = false);

  /// Makes and stores a key pair. RSA of `bits` 2048..8192 or ECDSA P-256/P-384/P-521, else
  /// bad_key_size; key_pair_exists when the label is taken. RSA takes long: about 0.1 s at 2048
  /// bits, several seconds at 8192.
  [[nodiscard]] Result<KeyPair> generate(const KeyPairOptions& options);
  /// Stores a key that was made elsewhere, under the same rules.
  [[nodiscard]] Result<KeyPair> add(const KeyPairOptions& options, crypto::PrivateKey key);
  /// Empty when there is none.
  [[nodiscard]] Result<std::optional<KeyPair>> find(std::string_view label) const;
  [[nodiscard]] Status remove(std::string_view label);
  /// Labels, sorted.
  [[nodiscard]] Result<std::vector<std::string>> labels() const;

  /// Encrypted PEM; refuses key_not_exportable and, for passphrases under passphrase_size_min
  /// octets, passphrase_missing.
  [[nodiscard]] Result<Secret> export_pem(std::string_view label, const Secret& passphrase,
                                          KeyPemForm form = KeyPemForm::pkcs8) const;
  /// Reads PKCS#8 and the traditional forms, encrypted or not, and stores the key.
  [[nodiscard]] Result<KeyPair> import_pem(std::string_view label, std::string_view pem,
                                           const Secret& passphrase, bool exportable);

 private:
  [[nodiscard]] Status write(const KeyPair& pair);
  [[nodiscard]] Status write_index(const std::vector<std::string>& labels);

  Store& store_;
  Secret storage_passphrase_;
  bool allow_weak_;
};

/// Makes a key of a size that allow_weak would admit, without storing it (KeyPairs::add decides);
/// touches nothing else, so any thread may. Gives up when `stop` becomes true.
[[nodiscard]] Result<crypto::PrivateKey> generate_key(crypto::KeyType type, unsigned bits,
                                                      const std::atomic<bool>* stop = nullptr);
[[nodiscard]] bool is_good_label(std::string_view label);
/// A label as a part of a name in the Store, which has no capitals: what is not a-z, 0-9 or '-' is
/// written as '_' and two hex digits, so two labels never share a blob.
[[nodiscard]] std::string store_name(std::string_view label);
/// Encrypted PEM of a private key.
[[nodiscard]] Result<Secret> encrypted_pem(const crypto::PrivateKey& key, const Secret& passphrase,
                                           KeyPemForm form);

}  // namespace cohort::pki
