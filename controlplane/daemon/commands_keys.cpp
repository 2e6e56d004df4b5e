// Commands about labelled key pairs.
#include <fmt/format.h>
#include <utility>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

std::string_view type_name(crypto::KeyType type) {
  switch (type) {
    case crypto::KeyType::rsa:
      return "rsa";
    case crypto::KeyType::ecdsa_p256:
      return "ecdsa-p256";
    case crypto::KeyType::ecdsa_p384:
      return "ecdsa-p384";
    case crypto::KeyType::ecdsa_p521:
      return "ecdsa-p521";
  }
  return "?";
}

Json pair_json(const pki::KeyPair& pair) {
  const Bytes spki = pair.key.public_key().spki();
  return {{"label", pair.label},
          {"type", type_name(pair.key.type())},
          {"bits", pair.key.bits()},
          {"exportable", pair.exportable},
          {"key_sha256", to_hex(crypto::digest(crypto::Hash::sha256, {spki}))}};
}

Result<Json> show_keys(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  COHORT_TRY(const auto labels, daemon.runtime().keys->labels());
  Json out = Json::array();
  for (const std::string& label : labels) {
    COHORT_TRY(const auto pair, daemon.runtime().keys->find(label));
    if (pair) out.push_back(pair_json(*pair));
  }
  return out;
}

Result<pki::KeyPairOptions> options_of(const Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"label", "type", "modulus", "exportable"}));
  pki::KeyPairOptions out;
  COHORT_TRY(out.label, arguments.text("label"));
  COHORT_TRY(const std::string type, arguments.text_or("type", "rsa"));
  COHORT_TRY(const std::uint64_t bits, arguments.number_or("modulus", 3072));
  COHORT_TRY(out.exportable, arguments.flag("exportable", false));
  const bool weak = bits >= pki::rsa_bits_weak_min && daemon.configuration().allow_weak;
  if ((bits < pki::rsa_bits_min && !weak) || bits > pki::rsa_bits_max) {
    return fail(
        bad_argument,
        fmt::format("the modulus must be {} to {} bits, or from {} with \"allow_weak\": true "
                    "in the configuration",
                    pki::rsa_bits_min, pki::rsa_bits_max, pki::rsa_bits_weak_min));
  }
  out.bits = static_cast<unsigned>(bits);
  if (type == "ecdsa-p256") {
    out.type = crypto::KeyType::ecdsa_p256;
  } else if (type == "ecdsa-p384") {
    out.type = crypto::KeyType::ecdsa_p384;
  } else if (type == "ecdsa-p521") {
    out.type = crypto::KeyType::ecdsa_p521;
  } else if (type != "rsa") {
    return fail(bad_argument, "the type must be rsa, ecdsa-p256, ecdsa-p384 or ecdsa-p521");
  }
  return out;
}

/// A key of many bits takes seconds: a thread makes it, the loop stores it.
void key_generate(Daemon& daemon, const Arguments& arguments, AdminServer::Answer answer) {
  auto options = options_of(daemon, arguments);
  if (!options) {
    answer(fail(options.error()));
    return;
  }
  JobPool& jobs = *daemon.runtime().jobs;
  jobs.run([&daemon, wanted = *options, answer, stop = &jobs.ending()]() -> EventLoop::Work {
    auto made = std::make_shared<Result<crypto::PrivateKey>>(
        pki::generate_key(wanted.type, wanted.bits, stop));
    return [&daemon, wanted, answer, made] {
      if (!*made) {
        answer(fail(made->error()));
        return;
      }
      auto stored = daemon.runtime().keys->add(wanted, std::move(**made));
      if (!stored) {
        answer(fail(stored.error()));
        return;
      }
      daemon.audit("crypto key generate", wanted.label);
      daemon.warn_of_weak_key(*stored);
      answer(pair_json(*stored));
    };
  });
}

Result<Json> key_export(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"label", "passphrase", "form"}));
  COHORT_TRY(const std::string label, arguments.text("label"));
  COHORT_TRY(std::string passphrase, arguments.text("passphrase"));
  COHORT_TRY(const std::string form, arguments.text_or("form", "pkcs8"));
  if (form != "pkcs8" && form != "3des") return fail(bad_argument, "the form is pkcs8 or 3des");
  if (form == "3des" && !daemon.configuration().allow_weak) {
    return fail(bad_argument, "the 3des form needs \"allow_weak\": true in the configuration");
  }
  const Secret secret = Secret::of_text(passphrase);
  zeroize(passphrase);
  COHORT_TRY(const Secret pem,
             daemon.runtime().keys->export_pem(
                 label, secret,
                 form == "3des" ? pki::KeyPemForm::traditional_3des : pki::KeyPemForm::pkcs8));
  COHORT_TRY(const auto pair, daemon.runtime().keys->find(label));
  daemon.audit("crypto key export", label);
  Json out = pair ? pair_json(*pair) : Json::object();
  out["pem"] = std::string(reinterpret_cast<const char*>(pem.view().data()), pem.view().size());
  return out;
}

Result<Json> key_import(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"label", "passphrase", "pem", "exportable"}));
  COHORT_TRY(const std::string label, arguments.text("label"));
  COHORT_TRY(std::string passphrase, arguments.text_or("passphrase", ""));
  COHORT_TRY(std::string pem, arguments.text("pem"));
  COHORT_TRY(const bool exportable, arguments.flag("exportable", false));
  const Secret secret = Secret::of_text(passphrase);
  zeroize(passphrase);
  auto pair = daemon.runtime().keys->import_pem(label, pem, secret, exportable);
  zeroize(pem);
  if (!pair) return fail(pair.error());
  daemon.audit("crypto key import", label);
  daemon.warn_of_weak_key(*pair);
  daemon.on_key_stored();
  return pair_json(*pair);
}

/// Who needs the key pair, empty for nobody.
std::string user_of(Daemon& daemon, const std::string& label) {
  for (const pki::Trustpoint* trustpoint : daemon.runtime().keyring->trustpoints()) {
    if (trustpoint->options().key.label == label || trustpoint->key_label() == label)
      return "trustpoint " + trustpoint->name();
  }
  if (const auto& role = daemon.configuration().key_server) {
    for (const auto& group : role->groups)
      if (group.policy.rekey.signing_key == label) return "rekeys of group " + group.policy.name;
  }
  return {};
}

Result<Json> key_remove(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"label", "in_use"}));
  COHORT_TRY(const std::string label, arguments.text("label"));
  COHORT_TRY(const bool in_use, arguments.flag("in_use", false));
  if (const std::string user = user_of(daemon, label); !user.empty() && !in_use)
    return fail(key_in_use, label + ": " + user);
  COHORT_CHECK(daemon.runtime().keys->remove(label));
  daemon.audit("crypto key remove", label);
  return Json{{"label", label}};
}

constexpr CommandRow rows[] = {
    {"show crypto key", show_keys, nullptr},    {"crypto key generate", nullptr, key_generate},
    {"crypto key export", key_export, nullptr}, {"crypto key import", key_import, nullptr},
    {"crypto key remove", key_remove, nullptr},
};

}  // namespace

std::span<const CommandRow> key_commands() {
  return rows;
}

}  // namespace cohort::daemon
