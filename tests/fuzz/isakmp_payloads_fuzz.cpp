#include <cstdlib>

#include "controlplane/ike/fragmentation.hpp"
#include "controlplane/ike/identification.hpp"
#include "controlplane/ike/message_rules.hpp"
#include "controlplane/ike/payloads.hpp"
#include "controlplane/ike/proposal.hpp"

/// Every parser of phase 1 over the same octets, with round trips: what parses and is written again
/// parses to the same.
namespace {

using namespace cohort;
using namespace cohort::ike;

void must(bool condition) {
  if (!condition) std::abort();
}

void messages(ByteView octets) {
  const auto header = Header::parse(octets);
  if (!header) return;
  Writer again;
  header->write(again);
  must(Header::parse(octets)->length == header->length);
  must(again.size() == Header::size);
  for (const bool padded : {false, true}) {
    const auto payloads = walk(header->next, octets.subspan(Header::size), padded);
    if (!payloads) continue;
    for (const MessageRule* rule :
         {&rule_sa, &rule_ke, &rule_hash, &rule_signature, &rule_informational})
      (void)check(*rule, *payloads);
    (void)certificates_of(*payloads);
    PayloadWriter chain;
    for (const auto& payload : *payloads) chain.add(payload.type, payload.body);
    const auto second = walk(chain.first(), chain.view(), false);
    must(second.has_value() && second->size() == payloads->size());
  }
  Reassembly reassembly;
  if (header->next == PayloadType::fragment) {
    (void)reassembly.add(octets, 4096);
    must(reassembly.held() <= 4096);
  }
}

void bodies(ByteView octets) {
  if (const auto notify = Notify::parse(octets)) must(equal(notify->body(), octets));
  if (const auto del = Delete::parse(octets)) must(equal(del->body(), octets));
  if (const auto id = Identification::parse(octets)) {
    must(id->text().size() <= 64);
    PeerIdentity nobody;
    must(!check_proven_by_certificate(*id, nobody) || id->data.empty());
  }
  if (const auto offer = parse_offer(octets)) {
    std::vector<Phase1Policy> known;
    for (const auto& transform : offer->transforms)
      if (transform.policy) known.push_back(*transform.policy);
    if (known.empty()) return;
    const auto choice = choose(*offer, known);
    must(choice.has_value());
    must(accept_answer(choice->body, known).has_value());
  }
  if (const auto attributes = parse_attributes(octets)) {
    Writer again;
    for (const auto& attribute : *attributes) {
      if (attribute.basic)
        write_basic(again, attribute.type, attribute.value);
      else
        write_variable(again, attribute.type, attribute.data);
    }
    must(equal(again.view(), octets));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView octets(data, size);
  messages(octets);
  bodies(octets);
  return 0;
}
