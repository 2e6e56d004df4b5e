// The SCEP client and a hostile server. The first octet says where: 0 the answer to GetCACaps, 1 to
// GetCACert, 2 a raw CertRep, 3 the data inside a CertRep that the CA has signed and sealed. No
// answer may ever install a certificate that is not for our key by our CA.
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "tests/unit/pki/fixture.hpp"

using namespace cohort;
using namespace cohort::pki;
using namespace cohort::pki::test;

namespace {

/// What does not change from input to input.
struct Lab {
  Lab()
      : ca_machine(clock, 1),
        key(must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256))),
        codec(false) {
    ca = must(CertificateAuthority::open(ca_options(), ca_machine.world));
  }
  ManualClock clock;
  Machine ca_machine;
  crypto::PrivateKey key;
  ScepCodec codec;
  std::unique_ptr<CertificateAuthority> ca;
};

/// A CertRep to the message that is out, with the fuzzer's data in it.
Bytes answer_to(Lab& lab, const HttpRequest& request, ByteView data) {
  const auto asked = must(lab.codec.parse(request.body, {}));
  ScepMessage out;
  out.type = ScepType::cert_rep;
  out.transaction_id = asked.transaction_id;
  out.recipient_nonce = asked.sender_nonce;
  out.status = PkiStatus::success;
  out.envelope = must(lab.codec.seal(data, {asked.signer, {}}, ScepCipher::aes_128));
  return must(lab.codec.sign(out, lab.ca->certificate(), lab.ca->message_key().key));
}

void run(Lab& lab, std::uint8_t mode, ByteView rest) {
  Machine machine(lab.clock, 2);
  auto options = trustpoint_options();
  options.revocation_check = RevocationCheck::none;
  options.key.type = crypto::KeyType::ecdsa_p256;
  must(machine.keys.add(options.key, lab.key));
  if (mode != 1)
    options.fingerprint_sha256 = lab.ca->certificate().fingerprint(crypto::Hash::sha256);
  Trustpoint& trustpoint = machine.keyring.add(std::move(options));
  ScepClient client(machine.world, trustpoint, machine.keys);
  ScepServer server(*lab.ca, lab.ca_machine.world);
  const EnrolState target = mode == 0   ? EnrolState::capabilities
                            : mode == 1 ? EnrolState::ca_request
                                        : EnrolState::request;
  client.start(lab.clock.now());
  while (auto out = client.take_request()) {
    HttpResponse response{200, "", {}};
    const bool here = client.state() == target;
    if (!here)
      response = server.handle(out->request);
    else
      response.body = mode == 3 ? answer_to(lab, out->request, rest) : to_bytes(rest);
    client.on_response(lab.clock.now(), out->id, std::move(response));
    if (here) break;
  }
  if (trustpoint.certificate()) {
    const bool ours = trustpoint.certificate()->public_key().spki() == lab.key.public_key().spki();
    if (!ours || !lab.ca->has_signed(*trustpoint.certificate())) std::abort();
  }
  if (mode == 1 && trustpoint.is_authenticated()) std::abort();  // nobody has said yes
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Lab lab;
  if (size == 0) return 0;
  run(lab, data[0] % 4, {data + 1, size - 1});
  return 0;
}
