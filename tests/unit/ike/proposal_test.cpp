#include "controlplane/ike/proposal.hpp"

#include <gtest/gtest.h>

#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {
namespace {

using crypto::Cipher;
using crypto::DhGroup;
using crypto::Hash;

std::vector<Phase1Policy> every_policy() {
  std::vector<Phase1Policy> all;
  for (const auto cipher : {Cipher::aes_128, Cipher::aes_192, Cipher::aes_256, Cipher::triple_des})
    for (const auto hash : {Hash::md5, Hash::sha1, Hash::sha256, Hash::sha384, Hash::sha512})
      for (const auto group :
           {DhGroup::modp1024, DhGroup::modp1536, DhGroup::modp2048, DhGroup::modp3072,
            DhGroup::modp4096, DhGroup::ecp256, DhGroup::ecp384, DhGroup::ecp521})
        for (const auto auth :
             {AuthMethod::pre_shared_key, AuthMethod::rsa_signature, AuthMethod::ecdsa_256,
              AuthMethod::ecdsa_384, AuthMethod::ecdsa_521})
          all.push_back({cipher, hash, group, auth, std::chrono::seconds{86400}});
  return all;
}

bool same(const Phase1Policy& a, const Phase1Policy& b) {
  return a.cipher == b.cipher && a.hash == b.hash && a.group == b.group && a.auth == b.auth &&
         a.lifetime == b.lifetime;
}

// Every cipher, hash, group and authentication method of the policies.
TEST(Proposal, every_policy_round_trips) {
  for (const Phase1Policy& policy : every_policy()) {
    const Bytes body = offer_body(doi_gdoi, situation_gdoi, std::vector{policy});
    const auto offer = parse_offer(body);
    ASSERT_TRUE(offer) << text_of(policy);
    ASSERT_EQ(offer->transforms.size(), 1u);
    ASSERT_TRUE(offer->transforms[0].policy) << text_of(policy);
    EXPECT_TRUE(same(*offer->transforms[0].policy, policy)) << text_of(policy);
    const auto choice = choose(*offer, std::vector{policy});
    ASSERT_TRUE(choice);
    EXPECT_EQ(to_hex(choice->body), to_hex(body));  // the only transform, unchanged
    EXPECT_TRUE(accept_answer(choice->body, std::vector{policy}));
  }
}

TEST(Proposal, weakness_is_in_any_part) {
  for (const Phase1Policy& policy : every_policy()) {
    const bool weak = policy.cipher == Cipher::triple_des || policy.hash == Hash::md5 ||
                      policy.hash == Hash::sha1 || policy.group == DhGroup::modp1024 ||
                      policy.group == DhGroup::modp1536;
    EXPECT_EQ(is_weak(policy), weak) << text_of(policy);
  }
}

TEST(Proposal, the_shorter_lifetime_holds) {
  Phase1Policy mine;
  Phase1Policy theirs;
  mine.lifetime = std::chrono::seconds{3600};
  const Bytes body = offer_body(doi_gdoi, 0, std::vector{theirs});
  EXPECT_EQ(choose(*parse_offer(body), std::vector{mine})->policy.lifetime, mine.lifetime);
  EXPECT_EQ(accept_answer(body, std::vector{mine})->policy.lifetime, mine.lifetime);
  mine.lifetime = std::chrono::seconds{1'000'000};
  EXPECT_EQ(accept_answer(body, std::vector{mine})->policy.lifetime, theirs.lifetime);
}

TEST(Proposal, an_answer_must_be_one_of_ours_alone) {
  Phase1Policy a;
  Phase1Policy b;
  b.cipher = Cipher::aes_128;
  const auto refused = accept_answer(offer_body(doi_gdoi, 0, std::vector{b}), std::vector{a});
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(bad_proposal));
  EXPECT_FALSE(accept_answer(offer_body(doi_gdoi, 0, std::vector{a, b}), std::vector{a, b}));
}

/// An SA body with one transform of these attributes.
Bytes with_attributes(const char* hex, std::uint8_t protocol = 1) {
  const Bytes attributes = from_hex(hex).value();
  Writer out;
  out.u32(doi_gdoi).u32(0).u8(0).u8(0).u16(static_cast<std::uint16_t>(16 + attributes.size()));
  out.u8(1).u8(protocol).u8(0).u8(1);
  out.u8(0).u8(0).u16(static_cast<std::uint16_t>(8 + attributes.size())).u8(1).u8(1).u16(0);
  out.bytes(attributes);
  return out.take();
}

TEST(Proposal, transforms_are_taken_whole_or_not_at_all) {
  const auto known = [](const char* hex) {
    const Bytes body = with_attributes(hex);
    const auto offer = parse_offer(body);
    return offer && offer->transforms.at(0).policy.has_value();
  };
  EXPECT_TRUE(known("80010007800e01008002000480030003 8004000e800b0001800c0e10"));
  EXPECT_TRUE(known("80010007800e0100800200048003000380 04000e"));                  // no lifetime
  EXPECT_TRUE(known("80010007800e01008002000480030003 8004000e800b0002800c0e10"));  // kilobytes
  EXPECT_FALSE(known("800100078002000480030003 8004000e"));                  // AES, no key length
  EXPECT_FALSE(known("80010007800e00648002000480030003 8004000e"));          // of 100 bits
  EXPECT_FALSE(known("80010005800e00c08002000480030003 8004000e"));          // 3DES with one
  EXPECT_FALSE(known("80010007800e01008002000480030003 80040001"));          // group 1
  EXPECT_FALSE(known("80010007800e01008002000480030041 8004000e"));          // XAUTH
  EXPECT_FALSE(known("80010007800e01008002000380030003 8004000e"));          // Tiger
  EXPECT_FALSE(known("80010007800e01008002000480030003 8004000e800d0001"));  // a prf
  EXPECT_FALSE(known("8001000780010007800e01008002000480030003 8004000e"));  // twice
  EXPECT_FALSE(known("80010007800e01008002000480030003 8004000e800c0e10"));  // of what?
  EXPECT_FALSE(known("80010007800e01008002000480030003 8004000e800b"));      // cut
}

TEST(Proposal, refuses_broken_structure) {
  const Bytes good = offer_body(doi_gdoi, 0, std::vector{Phase1Policy{}});
  for (std::size_t n = 0; n < good.size(); ++n)
    EXPECT_FALSE(parse_offer(ByteView(good).first(n))) << n;
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    Bytes body = good;
    body.at(at) = value;
    return parse_offer(body);
  };
  EXPECT_FALSE(changed(3, 7));      // DOI
  EXPECT_FALSE(changed(7, 6));      // labelled situations
  EXPECT_TRUE(changed(7, 1));       // SIT_IDENTITY_ONLY
  EXPECT_FALSE(changed(8, 13));     // not a proposal
  EXPECT_FALSE(changed(13, 3));     // ESP only
  EXPECT_FALSE(changed(14, 200));   // SPI beyond the end
  EXPECT_FALSE(changed(15, 2));     // two transforms announced
  EXPECT_FALSE(changed(18, 0xff));  // length of the transform
}

TEST(Proposal, what_was_offered_is_told) {
  Phase1Policy theirs;
  theirs.group = DhGroup::ecp521;
  const Bytes body = offer_body(doi_gdoi, 0, std::vector{theirs});
  const auto refused = choose(*parse_offer(body), std::vector{Phase1Policy{}});
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(no_proposal_chosen));
  EXPECT_EQ(refused.error().detail(), "offered: aes-256-cbc/sha256/group 21/rsa-sig");
}

}  // namespace
}  // namespace cohort::ike
