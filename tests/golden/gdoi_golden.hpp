#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/crypto/key.hpp"
#include "controlplane/ike/secure_exchange.hpp"
#include "gdoi/policy.hpp"

/// Reads the conversations of tests/golden/data/gdoi (README there).
namespace cohort::golden {

inline const char* const scenarios[] = {"psk-aes128-sha256-modp2048", "rsa-aes128-sha256-modp2048",
                                        "psk-3des-sha1-modp1024", "rsa-aes128-sha1-modp1536"};

inline std::string read_text(const std::string& name) {
  std::ifstream file(std::string(GOLDEN_DATA) + "/gdoi/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Hex of the recording, which is known to be well-formed.
inline Bytes octets(const nlohmann::json& hex) {
  return from_hex(hex.get<std::string>()).value();
}

struct GdoiConversation {
  nlohmann::json json;

  static GdoiConversation load(const std::string& scenario) {
    return {nlohmann::json::parse(read_text(scenario + ".json"))};
  }

  [[nodiscard]] ike::SecureExchange pull_exchange() const {
    const auto& p1 = json["phase1"];
    ike::Phase1Keys keys{
        p1["encryption"] == "3des" ? crypto::Cipher::triple_des : crypto::Cipher::aes_128,
        p1["hash"] == "sha1" ? crypto::Hash::sha1 : crypto::Hash::sha256,
        Secret(octets(p1["skeyid_d"])),
        Secret(octets(p1["skeyid_a"])),
        Secret(octets(p1["skeyid_e"])),
        Secret(octets(p1["cipher_key"])),
        octets(p1["last_block"])};
    ike::Cookie initiator, responder;
    const Bytes i = octets(p1["cky_i"]), r = octets(p1["cky_r"]);
    std::copy_n(i.begin(), 8, initiator.begin());
    std::copy_n(r.begin(), 8, responder.begin());
    const Bytes mid = octets(json["pull"]["m_id"]);
    return {keys, initiator, responder, Reader(mid).u32()};
  }

  /// Datagrams of one exchange type, in order.
  [[nodiscard]] std::vector<nlohmann::json> datagrams(std::uint8_t exchange) const {
    std::vector<nlohmann::json> found;
    for (const auto& gram : json["datagrams"]) {
      if (octets(gram["wire"])[18] == exchange) found.push_back(gram);
    }
    return found;
  }

  [[nodiscard]] gdoi::Kek kek(const nlohmann::json& spi) const {
    for (const auto& record : json["kek"]) {
      if (record["spi"] != spi) continue;
      gdoi::Kek kek;
      const Bytes octets_of_spi = octets(spi);
      std::copy_n(octets_of_spi.begin(), 16, kek.spi.begin());
      const auto& policy = json["policy"];
      kek.cipher =
          policy.value("kek", "") == "3des" ? crypto::Cipher::triple_des : crypto::Cipher::aes_128;
      kek.signature_hash =
          policy.value("sig_hash", "") == "sha1" ? crypto::Hash::sha1 : crypto::Hash::sha256;
      kek.iv = Secret(octets(record["iv"]));
      kek.key = Secret(octets(record["key"]));
      kek.signature_key_spki = octets(record["public_key_der"]);
      return kek;
    }
    throw std::runtime_error("no such KEK in the recording");
  }

  static crypto::PrivateKey rekey_key() {
    return crypto::PrivateKey::from_pem(read_text("rekey.key"), Secret()).value();
  }
};

}  // namespace cohort::golden
