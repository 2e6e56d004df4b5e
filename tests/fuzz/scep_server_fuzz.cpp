// The SCEP server as a stranger reaches it. The first octet says what the rest is: 0 a posted body,
// 1 the target of a GET, 2 to 6 the data inside a well-signed and well-sealed message of each type,
// so that what lies behind decryption is fuzzed too.
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "tests/unit/pki/fixture.hpp"

using namespace cohort;
using namespace cohort::pki;
using namespace cohort::pki::test;

namespace {

struct Lab {
  Lab()
      : machine(clock, 1),
        key(must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256))),
        signer(must(self_signed(key, must(name_der_of_text("CN=fuzz")), crypto::Hash::sha256,
                                epoch.time_since_epoch().count()))),
        codec(true) {
    auto options = ca_options();
    options.allow_weak = true;
    options.requests_per_second = 0;  // a fuzzer's clock stands still
    options.requests_per_second_per_source = 0;
    ca = must(CertificateAuthority::open(std::move(options), machine.world));
    server = std::make_unique<ScepServer>(*ca, machine.world);
  }
  ManualClock clock;
  Machine machine;
  crypto::PrivateKey key;
  Certificate signer;
  ScepCodec codec;
  std::unique_ptr<CertificateAuthority> ca;
  std::unique_ptr<ScepServer> server;
};

Bytes message_of(Lab& lab, ScepType type, ByteView data) {
  ScepMessage out;
  out.type = type;
  out.transaction_id = "fuzz";
  out.envelope =
      must(lab.codec.seal(data, {lab.ca->message_key().certificate, {}}, ScepCipher::aes_128));
  return must(lab.codec.sign(out, lab.signer, lab.key));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Lab lab;
  if (size == 0) return 0;
  const ByteView rest{data + 1, size - 1};
  HttpRequest request{HttpMethod::post, "/?operation=PKIOperation", "", {}, "fuzz"};
  static constexpr ScepType types[] = {ScepType::pkcs_req, ScepType::renewal_req,
                                       ScepType::cert_poll, ScepType::get_cert, ScepType::get_crl};
  switch (data[0]) {
    case 0:
      request.body = to_bytes(rest);
      break;
    case 1:
      request.method = HttpMethod::get;
      request.url.assign(rest.begin(), rest.end());
      break;
    default:
      request.body = message_of(lab, types[(data[0] - 2u) % std::size(types)], rest);
  }
  const HttpResponse response = lab.server->handle(request);
  if (response.status != 200 && response.body.empty()) std::abort();  // a refusal says why
  if (lab.machine.outbox.refusals.size() > 100) lab.machine.outbox.refusals.clear();
  lab.machine.outbox.events.clear();
  // Nobody here can sign a request for a name of his choice but with his own key.
  for (const auto& issued : must(lab.ca->issued(1)))
    if (must(lab.ca->find(issued.serial)).is_ca()) std::abort();
  return 0;
}
