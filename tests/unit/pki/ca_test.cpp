#include "pki/ca.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sqlite3.h>
#include <sys/stat.h>

#include "pki/events.hpp"
#include "pki/trust.hpp"
#include "tests/unit/pki/fixture.hpp"

namespace cohort::pki::test {
namespace {

/// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cohort-ca-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Of an authority with a database in `folder` and an archive in its store.
CaOptions archived_options(const Folder& folder, const char* database) {
  CaOptions out = ca_options();
  out.database = folder.file(database);
  out.archive = "ca/archive.p12";
  out.archive_password = Secret::of_text("archive password");
  return out;
}

class Authority : public ::testing::Test {
 protected:
  /// ECDSA would be quicker, but RSA is what most CAs are.
  void open(CaOptions options) {
    ca_.reset();
    ca_ = must(CertificateAuthority::open(std::move(options), machine_.world));
  }
  Result<Decision> submit(const Applicant& who, const std::string& transaction = "t1",
                          std::optional<Certificate> renewed = std::nullopt) {
    return ca_->submit({who.request, transaction, std::move(renewed)});
  }

  ManualClock clock_;
  Machine machine_{clock_, 7};
  std::unique_ptr<CertificateAuthority> ca_;
};

TEST_F(Authority, IssuesWhatTheSeedLabShows) {
  auto options = ca_options();
  options.certificate_lifetime = Days(5000);
  options.crl_url = "http://10.191.61.120/ca.crl?a=1,2;URI:x";
  open(std::move(options));
  const auto ca = ca_->certificate().describe();
  EXPECT_EQ(ca.subject, "CN=ca-server,O=Seed Lab");
  EXPECT_EQ(ca.signature_algorithm, "sha256WithRSAEncryption");
  EXPECT_TRUE(ca.is_ca);
  EXPECT_EQ(ca.not_after - epoch, Days(7300));

  const auto who = applicant("CN=gm1, OU=GETVPN_GM", {}, crypto::KeyType::rsa);
  const auto decision = must(submit(who));
  ASSERT_TRUE(decision.certificate);
  const auto info = decision.certificate->describe();
  EXPECT_EQ(info.version, 3u);
  EXPECT_EQ(info.serial.size(), 32u);
  EXPECT_EQ(info.issuer, ca.subject);
  EXPECT_EQ(info.subject, "CN=gm1,OU=GETVPN_GM");
  EXPECT_EQ(info.not_after - epoch, Days(5000));
  EXPECT_EQ(info.key_algorithm, "rsaEncryption");
  EXPECT_EQ(info.key_bits, 2048u);
  EXPECT_EQ(info.usage, "General Purpose");
  EXPECT_THAT(info.key_usage, ::testing::ElementsAre("digitalSignature", "keyEncipherment"));
  EXPECT_THAT(info.extended_key_usage, ::testing::ElementsAre("TLS Web Server Authentication",
                                                              "TLS Web Client Authentication"));
  EXPECT_EQ(info.authority_key_id, ca.subject_key_id);
  EXPECT_EQ(info.subject_key_id.size(), 40u);
  EXPECT_THAT(info.crl_urls, ::testing::ElementsAre("http://10.191.61.120/ca.crl?a=1,2;URI:x"));
  EXPECT_FALSE(info.is_ca);
  EXPECT_EQ(info.fingerprint_md5.size(), 32u);
  EXPECT_EQ(machine_.outbox.count(certificate_granted), 1u);

  const auto status = must(ca_->status());
  EXPECT_EQ(status.certificates, 1u);
  EXPECT_EQ(status.last_serial, info.serial);
  EXPECT_EQ(status.fingerprint_sha256, ca.fingerprint_sha256);
}

TEST_F(Authority, ACertificateNeverOutlivesTheCa) {
  auto options = ca_options();
  options.ca_lifetime = Days(10);
  open(std::move(options));
  EXPECT_EQ(must(submit(applicant("CN=a"))).certificate->not_after(),
            ca_->certificate().not_after());
  clock_.advance(std::chrono::hours(24 * 11));
  EXPECT_REFUSED(submit(applicant("CN=b"), "t2"), ca_expired);
}

TEST_F(Authority, IsIdempotentByTransaction) {
  open(ca_options());
  const auto who = applicant("CN=gm1");
  const auto first = must(submit(who));
  const auto again = must(submit(who));
  EXPECT_EQ(*first.certificate, *again.certificate);
  EXPECT_EQ(must(ca_->issued()).size(), 1u);
}

TEST_F(Authority, RefusesReusedTransactionsAndKeysByName) {
  open(ca_options());
  const auto who = applicant("CN=gm1");
  must(submit(who));
  RequestContents contents;
  contents.subject_der = must(name_der_of_text("CN=ks1"));
  const Applicant same_key{who.key,
                           must(CertificateRequest::make(contents, who.key, crypto::Hash::sha256))};
  EXPECT_REFUSED(submit(same_key), transaction_subject_mismatch);
  EXPECT_REFUSED(submit(same_key, "t2"), key_subject_mismatch);
  EXPECT_EQ(must(ca_->issued()).size(), 1u);
  EXPECT_EQ(must(ca_->requests()).size(), 1u);
}

// Ids are the client's to choose: who has guessed or seen another's takes nothing from him.
TEST_F(Authority, ATransactionIdIsNobodysToTake) {
  open(ca_options());
  const auto thief = applicant("CN=thief");
  const auto certificate = must(submit(thief, "t1")).certificate;
  const auto owner = applicant("CN=gm1");
  const auto granted = must(submit(owner, "t1")).certificate;
  ASSERT_TRUE(granted);
  EXPECT_EQ(granted->subject(), "CN=gm1");
  EXPECT_EQ(*must(submit(owner, "t1")).certificate, *granted);
  EXPECT_EQ(*must(submit(thief, "t1")).certificate, *certificate);
  const auto self = [&](const Applicant& who) {
    return must(self_signed(who.key, who.request.subject_der(), crypto::Hash::sha256,
                            clock_.wall().time_since_epoch().count()));
  };
  EXPECT_EQ(*must(ca_->poll("t1", self(owner))).certificate, *granted);
  EXPECT_EQ(*must(ca_->poll("t1", self(thief))).certificate, *certificate);
  EXPECT_REFUSED(ca_->poll("t1", self(applicant("CN=gm1"))), request_unknown);
  for (const auto& record : must(ca_->requests())) EXPECT_FALSE(record.renewal);
}

TEST_F(Authority, RefusesItsOwnNameAndNone) {
  open(ca_options());
  EXPECT_REFUSED(submit(applicant("cn=CA-server, o=seed lab")), request_subject_bad);
  EXPECT_REFUSED(submit(applicant("")), request_subject_bad);
}

TEST_F(Authority, AsksForTheChallengePassword) {
  auto options = ca_options();
  options.challenge_passwords.push_back(Secret::of_text("first"));
  options.challenge_passwords.push_back(Secret::of_text("second"));
  open(std::move(options));
  EXPECT_REFUSED(submit(applicant("CN=a")), challenge_wrong);
  EXPECT_REFUSED(submit(applicant("CN=a", "firs")), challenge_wrong);
  EXPECT_REFUSED(submit(applicant("CN=a", "first ")), challenge_wrong);
  EXPECT_TRUE(must(submit(applicant("CN=a", "first"), "t1")).certificate);
  EXPECT_TRUE(must(submit(applicant("CN=b", "second"), "t2")).certificate);
}

TEST_F(Authority, ATakenSubjectWaitsForTheOperatorOrIsRefused) {
  for (const auto mode :
       {DuplicateSubject::pend, DuplicateSubject::refuse, DuplicateSubject::grant}) {
    auto options = ca_options();
    options.duplicate_subject = mode;
    open(std::move(options));
    must(submit(applicant("CN=ks1")));
    const auto second = submit(applicant("cn=KS1"), "t2");
    if (mode == DuplicateSubject::refuse) {
      EXPECT_REFUSED(second, subject_in_use);
      continue;
    }
    ASSERT_TRUE(second) << second.error().text();
    EXPECT_EQ(second->certificate.has_value(), mode == DuplicateSubject::grant);
  }
}

// Peers are authorized by alternative names as well as by subjects, so neither is there for the
// asking.
TEST_F(Authority, ATakenAlternativeNameWaitsForTheOperator) {
  const auto ask = [&](const char* subject, const RequestContents& names, const char* transaction) {
    const auto key = must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256));
    RequestContents contents;
    contents.subject_der = must(name_der_of_text(subject));
    contents.san_dns = names.san_dns;
    contents.san_addresses = names.san_addresses;
    const Applicant who{key, must(CertificateRequest::make(contents, key, crypto::Hash::sha256))};
    return must(submit(who, transaction)).state;
  };
  RequestContents names;
  names.san_dns = {"ks1.example.net"};
  names.san_addresses = {IpAddress::v4(0x0abf3d72)};
  open(ca_options());
  EXPECT_EQ(ask("CN=ks1", names, "t1"), RequestState::granted);
  RequestContents dns;
  dns.san_dns = {"KS1.example.net"};
  EXPECT_EQ(ask("CN=evil", dns, "t2"), RequestState::pending);
  RequestContents address;
  address.san_addresses = names.san_addresses;
  EXPECT_EQ(ask("CN=evil2", address, "t3"), RequestState::pending);
  RequestContents own;
  own.san_dns = {"ks2.example.net"};
  EXPECT_EQ(ask("CN=ks2", own, "t4"), RequestState::granted);
}

TEST_F(Authority, ADatabaseWithoutAlternativeNamesLearnsThem) {
  const Folder folder;
  auto options = ca_options();
  options.database = folder.file("ca.sqlite");
  open(std::move(options));
  const auto request = [](const char* subject) {
    auto key = must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256));
    RequestContents contents;
    contents.subject_der = must(name_der_of_text(subject));
    contents.san_dns = {"ks1.example.net"};
    return Applicant{key, must(CertificateRequest::make(contents, key, crypto::Hash::sha256))};
  };
  EXPECT_TRUE(must(submit(request("CN=ks1"))).certificate);
  ca_.reset();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(folder.file("ca.sqlite").c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database,
                         "DROP TABLE certificate_names; DROP TABLE earlier_revocations; "
                         "UPDATE requests SET renewal_of = ''; PRAGMA user_version=1",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  auto again = ca_options();
  again.database = folder.file("ca.sqlite");
  open(std::move(again));
  EXPECT_FALSE(must(submit(request("CN=evil"), "t2")).certificate);
}

TEST_F(Authority, ACompromisedKeyGetsNoFurtherCertificate) {
  open(ca_options());
  const Applicant one = applicant("CN=gm1");
  const auto decision = must(submit(one));
  must(ca_->revoke(decision.certificate->serial(), RevocationReason::key_compromise));
  EXPECT_REFUSED(submit(one, "t2"), key_compromised);
  const Applicant two = applicant("CN=gm2");
  const auto other = must(submit(two, "t3"));
  must(ca_->revoke(other.certificate->serial(), RevocationReason::superseded));
  EXPECT_EQ(must(submit(two, "t4")).state, RequestState::granted);
}

TEST_F(Authority, ManualGrantAndReject) {
  auto options = ca_options();
  options.grant = Grant::manual;
  open(std::move(options));
  const auto a = applicant("CN=a");
  const auto b = applicant("CN=b");
  EXPECT_EQ(must(submit(a, "ta")).state, RequestState::pending);
  EXPECT_EQ(must(submit(b, "tb")).state, RequestState::pending);
  EXPECT_EQ(must(ca_->status()).pending, 2u);
  const auto rows = must(ca_->requests(RequestState::pending));
  ASSERT_EQ(rows.size(), 2u);  // newest first
  must(ca_->reject(rows[0].id, "unknown"));
  const auto granted = must(ca_->grant(rows[1].id));
  EXPECT_EQ(granted, *must(submit(a, "ta")).certificate);
  EXPECT_REFUSED(submit(b, "tb"), request_rejected);
  EXPECT_REFUSED(ca_->grant(rows[0].id), request_not_pending);
  EXPECT_REFUSED(ca_->reject(rows[1].id, ""), request_not_pending);
  EXPECT_REFUSED(ca_->grant(4711), request_unknown);
}

// An operator who rejected by mistake: the client asks with the same key and transaction.
TEST_F(Authority, AForgottenRejectionIsDecidedAnew) {
  auto options = ca_options();
  options.grant = Grant::manual;
  open(std::move(options));
  const auto a = applicant("CN=a");
  EXPECT_EQ(must(submit(a, "ta")).state, RequestState::pending);
  const std::int64_t id = must(ca_->requests())[0].id;
  EXPECT_REFUSED(ca_->forget(id), request_not_rejected);
  must(ca_->reject(id, "unknown"));
  EXPECT_REFUSED(submit(a, "ta"), request_rejected);
  must(ca_->forget(id));
  EXPECT_EQ(must(submit(a, "ta")).state, RequestState::pending);
  EXPECT_REFUSED(ca_->forget(4711), request_unknown);
}

TEST_F(Authority, PendingRequestsAreBounded) {
  auto options = ca_options();
  options.grant = Grant::manual;
  options.pending_max = 2;
  open(std::move(options));
  must(submit(applicant("CN=a"), "ta"));
  must(submit(applicant("CN=b"), "tb"));
  EXPECT_REFUSED(submit(applicant("CN=c"), "tc"), too_many_pending);
  EXPECT_EQ(must(ca_->requests()).size(), 2u);
}

TEST_F(Authority, RenewalKeepsNamesAndNeedsAValidCertificate) {
  open(ca_options());
  const auto old = *must(submit(applicant("CN=gm1"))).certificate;
  EXPECT_TRUE(must(submit(applicant("CN=gm1"), "r1", old)).certificate);
  EXPECT_REFUSED(submit(applicant("CN=ks1"), "r2", old), renewal_subject_mismatch);
  auto key = must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256));
  RequestContents contents;
  contents.subject_der = must(name_der_of_text("CN=gm1"));
  contents.san_dns = {"ks1.example.net"};
  const Applicant more{key, must(CertificateRequest::make(contents, key, crypto::Hash::sha256))};
  EXPECT_REFUSED(submit(more, "r3", old), renewal_subject_mismatch);
  must(ca_->revoke(old.serial(), RevocationReason::superseded));
  EXPECT_REFUSED(submit(applicant("CN=gm1"), "r4", old), renewal_signer_bad);
}

TEST_F(Authority, RevokesOnceAndListsIt) {
  open(ca_options());
  const auto certificate = *must(submit(applicant("CN=gm1"))).certificate;
  EXPECT_FALSE(must(ca_->crl()).lists(certificate));
  clock_.advance(std::chrono::seconds(5));
  must(ca_->revoke(certificate.serial(), RevocationReason::key_compromise));
  const Crl list = must(ca_->crl());
  EXPECT_TRUE(list.lists(certificate));
  EXPECT_TRUE(list.signed_by(ca_->certificate()));
  EXPECT_EQ(list.this_update(), clock_.wall());
  EXPECT_EQ(*list.next_update() - list.this_update(), std::chrono::hours(24 * 7));
  EXPECT_REFUSED(ca_->check_issued(certificate), certificate_revoked);
  EXPECT_REFUSED(ca_->revoke(certificate.serial(), RevocationReason::unspecified), already_revoked);
  EXPECT_REFUSED(ca_->revoke("00", RevocationReason::unspecified), serial_unknown);
  EXPECT_TRUE(must(submit(applicant("CN=gm1"), "t1")).certificate) << "another key";
}

TEST_F(Authority, ListsAreMadeAnewInTime) {
  open(ca_options());
  const Crl first = must(ca_->crl());
  clock_.advance(std::chrono::hours(24 * 3));
  EXPECT_EQ(must(ca_->crl()).der(), first.der());
  clock_.advance(std::chrono::hours(24));
  EXPECT_NE(must(ca_->crl()).der(), first.der());
}

TEST_F(Authority, SurvivesARestartAndKeepsItsFilePrivate) {
  const Folder folder;
  const auto options = [&] {
    auto out = ca_options();
    out.database = folder.file("ca.db");
    return out;
  };
  open(options());
  const auto who = applicant("CN=gm1");
  const auto certificate = *must(submit(who)).certificate;
  const auto ca = ca_->certificate();
  for (const char* name : {"ca.db", "ca.db-wal"}) {
    struct stat info {};
    ASSERT_EQ(stat(folder.file(name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
  open(options());
  EXPECT_EQ(ca_->certificate(), ca);
  EXPECT_EQ(*must(submit(who)).certificate, certificate);
  EXPECT_EQ(must(ca_->find(certificate.serial())), certificate);
  ca_.reset();
  auto other = options();
  other.issuer_name = "CN=other";
  EXPECT_REFUSED(CertificateAuthority::open(std::move(other), machine_.world), ca_mismatch);
}

// A crash is a copy of the files at any moment: what was answered must be in it.
TEST_F(Authority, WhatWasAnsweredSurvivesACrash) {
  const Folder folder;
  auto options = ca_options();
  options.database = folder.file("ca.db");
  open(std::move(options));
  const auto who = applicant("CN=gm1");
  const auto certificate = *must(submit(who)).certificate;
  const Folder after;
  for (const char* name : {"ca.db", "ca.db-wal"})
    std::filesystem::copy_file(folder.file(name), after.file(name));
  auto again = ca_options();
  again.database = after.file("ca.db");
  open(std::move(again));
  EXPECT_EQ(*must(submit(who)).certificate, certificate);
}

TEST_F(Authority, ADamagedDatabaseIsNamedAndTheArchiveRestoresTheCa) {
  const Folder folder;
  const auto options = [&](const char* name) { return archived_options(folder, name); };
  open(options("ca.db"));
  const auto ca = ca_->certificate();
  const auto certificate = *must(submit(applicant("CN=gm1"))).certificate;
  ca_.reset();
  {
    std::fstream file(folder.file("ca.db"), std::ios::in | std::ios::out | std::ios::binary);
    file.write("this is not a database any more", 31);
  }
  const auto damaged = CertificateAuthority::open(options("ca.db"), machine_.world);
  ASSERT_FALSE(damaged);
  EXPECT_TRUE(damaged.error().is(ca_database_damaged)) << damaged.error().text();

  const Bytes archive = machine_.store.blobs.at("ca/archive.p12");
  EXPECT_REFUSED(CertificateAuthority::restore(options("new.db"), machine_.world, archive,
                                               Secret::of_text("wrong password")),
                 bad_pkcs12);
  ca_ = must(CertificateAuthority::restore(options("new.db"), machine_.world, archive,
                                           Secret::of_text("archive password")));
  EXPECT_EQ(ca_->certificate(), ca);
  must(ca_->check_issued(certificate));
  EXPECT_TRUE(must(submit(applicant("CN=gm1"), "r1", certificate)).certificate);
  EXPECT_REFUSED(CertificateAuthority::restore(options("new.db"), machine_.world, archive,
                                               Secret::of_text("archive password")),
                 ca_exists);
}

// What was revoked stays so through a restore, and is in the lists that the new database makes.
TEST_F(Authority, RevocationsAreInTheArchive) {
  const Folder folder;
  const auto options = [&](const char* name) { return archived_options(folder, name); };
  open(options("ca.db"));
  const auto good = *must(submit(applicant("CN=gm1"), "t1")).certificate;
  const auto stolen = *must(submit(applicant("CN=gm2"), "t2")).certificate;
  const Bytes first = machine_.store.blobs.at("ca/archive.p12");
  clock_.advance(std::chrono::seconds(7));
  must(ca_->revoke(stolen.serial(), RevocationReason::key_compromise));
  const auto archive = machine_.store.blobs.at("ca/archive.p12");
  EXPECT_NE(archive, first);
  ca_ = must(CertificateAuthority::restore(options("new.db"), machine_.world, archive,
                                           Secret::of_text("archive password")));
  must(ca_->check_issued(good));
  EXPECT_REFUSED(ca_->check_issued(stolen), certificate_revoked);
  clock_.advance(std::chrono::seconds(60));
  const Crl list = must(ca_->crl());
  EXPECT_TRUE(list.lists(stolen));
  EXPECT_FALSE(list.lists(good));
  EXPECT_TRUE(list.signed_by(ca_->certificate()));
  // And through the next, with what is revoked since.
  const auto later = *must(submit(applicant("CN=gm3"), "t3")).certificate;
  must(ca_->revoke(later.serial(), RevocationReason::superseded));
  ca_ = must(CertificateAuthority::restore(options("third.db"), machine_.world,
                                           machine_.store.blobs.at("ca/archive.p12"),
                                           Secret::of_text("archive password")));
  EXPECT_EQ(must(ca_->crl()).size(), 2u);
  EXPECT_REFUSED(ca_->check_issued(later), certificate_revoked);
  EXPECT_REFUSED(submit(applicant("CN=gm2"), "r1", stolen), renewal_signer_bad);
}

TEST_F(Authority, ADatabaseThatCannotBeOpenedIsNamed) {
  auto options = ca_options();
  options.database = "/nonexistent/ca.db";
  EXPECT_REFUSED(CertificateAuthority::open(std::move(options), machine_.world),
                 ca_database_failed);
}

TEST_F(Authority, BackupNeedsAPassphrase) {
  open(ca_options());
  EXPECT_REFUSED(ca_->backup(Secret()), passphrase_missing);
}

TEST_F(Authority, WeakKeysNeedTheSwitch) {
  auto key = must(crypto::PrivateKey::generate_rsa(1024));
  RequestContents contents;
  contents.subject_der = must(name_der_of_text("CN=old"));
  const Applicant old{key, must(CertificateRequest::make(contents, key, crypto::Hash::sha256))};
  open(ca_options());
  EXPECT_REFUSED(submit(old), request_key_weak);
  auto options = ca_options();
  options.allow_weak = true;
  open(std::move(options));
  EXPECT_TRUE(must(submit(old)).certificate);
}

}  // namespace
}  // namespace cohort::pki::test
