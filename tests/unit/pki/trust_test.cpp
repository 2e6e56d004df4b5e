#include "pki/trust.hpp"

#include "pki/ca_issue.hpp"
#include "pki/openssl.hpp"
#include "tests/unit/pki/fixture.hpp"
#include "tests/unit/pki/forge.hpp"

namespace cohort::pki::test {
namespace {

/// root -> sub -> leaf, as a third party's CA has it.
class TrustTest : public ::testing::Test {
 protected:
  static crypto::PrivateKey key() {
    return must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256));
  }
  Certificate leaf(std::initializer_list<Extension> extensions = {}, std::int64_t from_s = at(-1),
                   std::int64_t to_s = at(100)) {
    return forge(leaf_key_, "CN=gm1", sub_key_, "CN=sub", extensions, from_s, to_s);
  }
  Result<Certificate> verify(const Certificate& certificate, WallTime now = epoch) const {
    return trust_.verify(std::vector<Bytes>{certificate.der(), sub_.der()}, now);
  }
  Crl list_of(const crypto::PrivateKey& signer, const Certificate& issuer,
              std::vector<std::string> serials, std::int64_t from_s, std::int64_t to_s) const {
    std::vector<IssuedRecord> revoked;
    for (auto& serial : serials) {
      IssuedRecord record;
      record.serial = std::move(serial);
      record.revoked_at = epoch;
      record.revocation_reason = RevocationReason::superseded;
      revoked.push_back(std::move(record));
    }
    return must(make_crl({signer, issuer, crypto::Hash::sha256}, revoked, 1, from_s, to_s));
  }

  static constexpr Extension ca_basic_{NID_basic_constraints, "critical,CA:TRUE"};
  static constexpr Extension key_id_{NID_subject_key_identifier, "hash"};
  crypto::PrivateKey root_key_ = key();
  crypto::PrivateKey sub_key_ = key();
  crypto::PrivateKey leaf_key_ = key();
  Certificate root_ = forge(root_key_, "CN=root", root_key_, "CN=root", {ca_basic_, key_id_});
  Certificate sub_ = forge(sub_key_, "CN=sub", root_key_, "CN=root", {ca_basic_, key_id_});
  Trust trust_{{root_},
               {},
               {},
               RevocationCheck::none,
               {ExtendedKeyUsage::server_auth, ExtendedKeyUsage::ipsec_ike},
               false};
};

// Chains with intermediates, sent by the peer or known to us.
TEST_F(TrustTest, FollowsIntermediates) {
  EXPECT_TRUE(verify(leaf()));
  const std::vector<Bytes> alone{leaf().der()};
  EXPECT_REFUSED(trust_.verify(alone, epoch), unknown_ca);
  trust_.intermediates = {sub_};
  EXPECT_TRUE(trust_.verify(alone, epoch));
}

TEST_F(TrustTest, AnIntermediateMayBeTheAnchor) {
  trust_.anchors = {sub_};
  EXPECT_TRUE(trust_.verify(std::vector<Bytes>{leaf().der()}, epoch));
}

// Each wrong certificate is refused with its own reason.
TEST_F(TrustTest, NamesWhatIsWrong) {
  EXPECT_REFUSED(verify(leaf({}, at(-10), at(-1))), certificate_expired);
  EXPECT_REFUSED(verify(leaf({}, at(1), at(10))), certificate_not_yet_valid);
  EXPECT_REFUSED(verify(leaf({{NID_ext_key_usage, "clientAuth"}})), wrong_extended_key_usage);
  EXPECT_REFUSED(verify(leaf({{NID_ext_key_usage, "codeSigning,emailProtection"}})),
                 wrong_extended_key_usage);
  EXPECT_REFUSED(verify(leaf({{NID_key_usage, "critical,keyEncipherment"}})), wrong_key_usage);
  const auto other = key();
  const auto forged = forge(leaf_key_, "CN=gm1", other, "CN=sub", {});
  EXPECT_REFUSED(verify(forged), certificate_signature_bad);
  const auto self = forge(leaf_key_, "CN=gm1", leaf_key_, "CN=gm1", {});
  EXPECT_REFUSED(verify(self), unknown_ca);
  EXPECT_REFUSED(Trust{}.verify(std::vector<Bytes>{leaf().der()}, epoch), not_authenticated);
}

TEST_F(TrustTest, AcceptsTheUsualUsages) {
  EXPECT_TRUE(verify(leaf({{NID_ext_key_usage, "serverAuth"}})));
  EXPECT_TRUE(verify(leaf({{NID_ext_key_usage, "1.3.6.1.5.5.7.3.17"}})));
  EXPECT_TRUE(verify(leaf({{NID_ext_key_usage, "anyExtendedKeyUsage"}})));
  EXPECT_TRUE(verify(leaf({{NID_key_usage, "digitalSignature"}})));
  EXPECT_TRUE(verify(leaf({{NID_key_usage, "nonRepudiation"}})));
}

TEST_F(TrustTest, ALeafIsNoCa) {
  const auto end = forge(leaf_key_, "CN=end", sub_key_, "CN=sub", {});
  const auto below = forge(key(), "CN=ks1", leaf_key_, "CN=end", {});
  const std::vector<Bytes> chain{below.der(), end.der(), sub_.der()};
  const auto verified = trust_.verify(chain, epoch);
  ASSERT_FALSE(verified);
  EXPECT_TRUE(verified.error().is(not_a_ca)) << verified.error().text();
  // keyCertSign alone makes no CA either.
  const auto signer =
      forge(leaf_key_, "CN=end", sub_key_, "CN=sub", {{NID_key_usage, "keyCertSign"}});
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>{below.der(), signer.der(), sub_.der()}, epoch),
                 not_a_ca);
}

TEST_F(TrustTest, WeakCertificatesNeedTheSwitch) {
  const auto weak = must(crypto::PrivateKey::generate_rsa(1024));
  const auto small = forge(weak, "CN=gm1", sub_key_, "CN=sub", {});
  EXPECT_REFUSED(verify(small), certificate_weak);
  const auto sha1 =
      forge(leaf_key_, "CN=gm1", sub_key_, "CN=sub", {}, at(-1), at(1), crypto::Hash::sha1);
  EXPECT_REFUSED(verify(sha1), certificate_weak);
  trust_.allow_weak = true;
  EXPECT_TRUE(verify(small));
  EXPECT_TRUE(verify(sha1));
}

TEST_F(TrustTest, HostileChainsAreBounded) {
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>{}, epoch), chain_empty);
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>(peer_chain_max + 1, leaf().der()), epoch),
                 chain_too_long);
  Bytes longer = leaf().der();
  longer.push_back(0);
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>{longer}, epoch), bad_certificate);
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>{Bytes(certificate_size_max + 1, 0x30)}, epoch),
                 bad_certificate);
  EXPECT_REFUSED(trust_.verify(std::vector<Bytes>{Bytes{}}, epoch), bad_certificate);
}

// revocation_check none, crl, crl-then-none.
TEST_F(TrustTest, RevocationByMode) {
  const auto good = leaf();
  const auto bad = leaf();
  const auto of_root = list_of(root_key_, root_, {}, at(-1), at(5));
  const auto of_sub = list_of(sub_key_, sub_, {bad.serial()}, at(-1), at(5));

  trust_.revocation_check = RevocationCheck::crl;
  EXPECT_REFUSED(verify(good), crl_missing);
  trust_.crls = {of_sub};
  EXPECT_REFUSED(verify(good), crl_missing);  // the intermediate's issuer has none
  trust_.crls = {of_sub, of_root};
  EXPECT_TRUE(verify(good));
  EXPECT_REFUSED(verify(bad), certificate_revoked);
  EXPECT_REFUSED(verify(good, epoch + Days(6)), crl_missing);  // outdated
  EXPECT_REFUSED(verify(bad, epoch + Days(6)), certificate_revoked);

  trust_.revocation_check = RevocationCheck::crl_then_none;
  EXPECT_REFUSED(verify(bad), certificate_revoked);
  trust_.crls.clear();
  EXPECT_TRUE(verify(bad));
  // A list by somebody else says nothing.
  trust_.crls = {list_of(leaf_key_, sub_, {good.serial()}, at(-1), at(5))};
  EXPECT_TRUE(verify(good));
  trust_.revocation_check = RevocationCheck::none;
  trust_.crls = {of_sub};
  EXPECT_TRUE(verify(bad));
}

TEST_F(TrustTest, ARevokedIntermediateRefusesTheLeaf) {
  trust_.revocation_check = RevocationCheck::crl_then_none;
  trust_.crls = {list_of(root_key_, root_, {sub_.serial()}, at(-1), at(5))};
  EXPECT_REFUSED(verify(leaf()), certificate_revoked);
}

TEST(KeyringTest, TheLongestPrefixHoldsThePreSharedKey) {
  ManualClock clock;
  Machine machine(clock, 3);
  machine.keyring.add_pre_shared_key(must(Prefix::parse("10.0.0.0/8")), Secret::of_text("wide"));
  machine.keyring.add_pre_shared_key(must(Prefix::parse("10.1.0.0/16")), Secret::of_text("narrow"));
  const auto key_of = [&](const char* address) {
    return machine.keyring.pre_shared_key(must(IpAddress::parse(address)));
  };
  EXPECT_EQ(*key_of("10.1.2.3"), Secret::of_text("narrow"));
  EXPECT_EQ(*key_of("10.2.2.3"), Secret::of_text("wide"));
  EXPECT_FALSE(key_of("11.1.1.1"));
  EXPECT_FALSE(key_of("2001:db8::1"));
  EXPECT_FALSE(machine.keyring.local("nowhere"));
  EXPECT_TRUE(machine.keyring.issuers("nowhere").empty());
  EXPECT_REFUSED(machine.keyring.verify("nowhere", std::vector<Bytes>{}), unknown_trustpoint);
}

// Certificates by any CA, imported without SCEP.
TEST_F(TrustTest, ATrustpointTakesImportedCertificatesAndKeepsThem) {
  ManualClock clock;
  Machine machine(clock, 3);
  auto options = trustpoint_options();
  options.enrollment_url.clear();
  options.revocation_check = RevocationCheck::none;
  Trustpoint& trustpoint = machine.keyring.add(std::move(options));
  const auto pair =
      must(machine.keys.add({"pkikey", crypto::KeyType::ecdsa_p256, 0, false}, leaf_key_));
  EXPECT_REFUSED(trustpoint.accept_ca({leaf()}, {}), not_a_ca);
  must(trustpoint.accept_ca({root_}, {sub_}));
  const KeyPair other{"other", false, key()};
  EXPECT_REFUSED(trustpoint.install(other, leaf(), {sub_}), scep_wrong_certificate);
  must(trustpoint.install(pair, leaf(), {sub_}));
  EXPECT_REFUSED(trustpoint.install_crl(list_of(leaf_key_, sub_, {}, at(-1), at(5))), bad_crl);
  must(trustpoint.install_crl(list_of(sub_key_, sub_, {}, at(-1), at(5))));
  EXPECT_EQ(trustpoint.issuers().size(), 2u);

  Keyring again(machine.store, clock);
  Trustpoint& loaded = again.add(trustpoint_options());
  must(loaded.load(machine.keys));
  EXPECT_EQ(loaded.trust().anchors, std::vector<Certificate>{root_});
  EXPECT_EQ(loaded.trust().crls.size(), 1u);
  const auto identity = again.local("GETVPN");
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->chain.size(), 2u);
  EXPECT_TRUE(trustpoint.verify(identity->chain));
  clock.step_wall(std::chrono::hours(24 * 101));
  EXPECT_FALSE(again.local("GETVPN")) << "an expired certificate is none";

  machine.store.blobs["trustpoints/_47_45_54_56_50_4e/identity.pem"].resize(40);
  Keyring damaged(machine.store, clock);
  EXPECT_REFUSED(damaged.add(trustpoint_options()).load(machine.keys), trustpoint_damaged);
  must(loaded.clear());
  EXPECT_FALSE(loaded.is_authenticated());
}

}  // namespace
}  // namespace cohort::pki::test
