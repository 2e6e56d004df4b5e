#include "controlplane/daemon/cohort/render.hpp"

#include <gmock/gmock.h>

#include "controlplane/daemon/cohort/usage.hpp"

namespace cohort::daemon {
namespace {

// The seed lab's member, out of the answer that its state would give.
TEST(Render, GroupOfAMember) {
  const Json group = Json::parse(R"json([{
    "name": "GETVPN", "identity": "484", "type": "GDOI (ISAKMP)", "crypto_path": "ipv4",
    "key_management_path": "ipv4", "sa_direction": "Both", "servers": ["10.191.61.115:848"],
    "port_pair": "GigabitEthernet1",
    "registration": {"state": "Registered", "registered": true, "local": "10.191.61.116:848",
      "remote": "10.191.61.115:848", "version": "1.0.25", "registered_with": "10.191.61.115:848",
      "reregisters_in": 5642, "succeeded": 1, "attempted": 1, "last_failure": ""},
    "rekeys": {"received": 0, "unicast_received": 0, "acks_sent": 0, "since_registration": 0,
      "refused": 0, "last_from": null, "last_sequence": 0, "last_ago": null},
    "fail_close": true, "fail_close_revert": false, "dp_error_monitoring": false,
    "allowed_rekey_cipher": "any", "allowed_rekey_hash": "any", "allowed_transforms": "any ESP",
    "acl": ["permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255",
            "permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.255"], "local_acl": [],
    "kek": {"spi": "00", "transport": "Unicast", "remaining": 85185, "cipher": "aes-256-cbc",
      "key_bits": 256, "signature_hash": "sha1", "signature_key_bits": 1296},
    "teks": [{"spi": 1398761275, "transform": "esp-aes esp-sha-hmac", "remaining": 5988,
      "replay": "counter", "replay_window": 64, "tag_method": "disabled", "cipher_key_octets": 16,
      "integrity_key_octets": 20, "encapsulation": "ENCAPS_TUNNEL", "sending": true}]}])json");
  EXPECT_EQ(render_gkm_group(group),
            R"text(    Group Name               : GETVPN
    Group Identity           : 484
    Group Type               : GDOI (ISAKMP)
    Crypto Path              : ipv4
    Key Management Path      : ipv4
    Rekeys received          : 0
    IPSec SA Direction       : Both

     Group Server list       : 10.191.61.115

Group Member Information For Group GETVPN:
    IPSec SA Direction       : Both
    ACL Received From KS     : gdoi_group_GETVPN_temp_acl

    Group member             : 10.191.61.116   vrf: None
       Local addr/port       : 10.191.61.116/848
       Remote addr/port      : 10.191.61.115/848
       fvrf/ivrf             : None/None
       Version               : 1.0.25
       Registration status   : Registered
       Registered with       : 10.191.61.115
       Re-registers in       : 5642 sec
       Succeeded registration: 1
       Attempted registration: 1
       Last rekey from       : UNKNOWN
       Last rekey seq num    : 0
       Unicast rekey received: 0
       Rekey ACKs sent       : 0
       Rekey Received        : never
       PFS Rekey received    : 0
       DP Error Monitoring   : OFF
       IPSEC init reg executed    : 0
       IPSEC init reg postponed   : 0
       Active TEK Number     : 1
       SA Track (OID/status) : disabled
       Fail-Close            : Enabled
       Fail-Close Revert : Disabled

       allowable rekey cipher: any
       allowable rekey hash  : any
       allowable transformtag: any ESP

    Rekeys cumulative
       Total received        : 0
       After latest register : 0
       Refused               : 0
       Rekey Acks sents      : 0

 ACL Downloaded From KS 10.191.61.115:
   access-list   permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255
   access-list   permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.255

KEK POLICY:
    Rekey Transport Type     : Unicast
    Lifetime (secs)          : 85185
    Encrypt Algorithm        : AES
    Key Size                 : 256
    Sig Hash Algorithm       : HMAC_AUTH_SHA
    Sig Key Length (bits)    : 1296

TEK POLICY for the current KS-Policy ACEs Downloaded:
  GigabitEthernet1:
    IPsec SA:
        spi: 0x535F673B(1398761275)
        transform: esp-aes esp-sha-hmac
        sa timing:remaining key lifetime (sec): (5988)
        Anti-Replay(Counter Based) : 64
        tag method : disabled
        alg key size: 16 (bytes)
        sig key size: 20 (bytes)
        encaps: ENCAPS_TUNNEL
        sending: yes

KGS POLICY:
  REG_GM: local_addr 10.191.61.116  none

P2P POLICY:
  REG_GM: local_addr 10.191.61.116  none

)text");
}

TEST(Render, AntiReplayByTime) {
  const std::string text = render_gkm_group(Json::parse(R"([{
    "name": "G", "port_pair": "p",
    "time": {"group_time_ms": 4294973296, "told_ago": 12, "correction_ms": -3, "skew_ms": null},
    "teks": [{"spi": 4096, "replay": "time", "replay_window": 4000}]}])"));
  EXPECT_NE(text.find("Anti-Replay(Time Based) : 4.000 sec interval"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(
GROUP TIME:
    Pseudotime (secs)        : 4294973.296
    Told by KS (secs ago)    : 12
    Correction then          : -3 msec
    Skew of packets received : unknown
)"),
            std::string::npos)
      << text;
}

// Every field of a certificate of the seed lab.
TEST(Render, CertificateVerbose) {
  const Json certificates = Json::parse(R"([{
    "kind": "certificate", "status": "Available", "version": 3, "serial": "05",
    "usage": "General Purpose", "issuer": "CN=Root-CA.cisco.com OU=LAB",
    "subject_attributes": [{"type": "unstructuredName", "value": "get-KS"},
                           {"type": "OU", "value": "GETVPN_KS"}],
    "not_before": "2025-09-09T11:58:27Z", "not_after": "2039-05-19T11:58:27Z",
    "key_algorithm": "rsaEncryption", "key_bits": 2049,
    "signature_algorithm": "sha256WithRSAEncryption",
    "fingerprint_md5": "51576b281203c5ec06ff408ef90b0e47",
    "fingerprint_sha1": "9d5b10e5e9418c00895e6dc79be86624b273cf15",
    "fingerprint_sha256": "00",
    "key_usage": ["digitalSignature", "keyEncipherment"],
    "extended_key_usage": ["TLS Web Client Authentication", "TLS Web Server Authentication"],
    "subject_key_id": "3a1012cd1fb41e075b64742b778b1e24e1f07a92", "authority_key_id": "",
    "is_ca": false, "san_dns": [], "san_addresses": [], "trustpoint": "GETVPN",
    "storage": "/var/lib/cohort/ks1/trustpoints/GETVPN", "key_label": "pkikey",
    "installed": "2025-09-09T11:58:28Z", "key_storage": "/var/lib/cohort/ks1/keys"}])");
  EXPECT_EQ(render_certificates(certificates, true),
            "Certificate\n"
            "  Status: Available\n"
            "  Version: 3\n"
            "  Certificate Serial Number (hex): 05\n"
            "  Certificate Usage: General Purpose\n"
            "  Issuer: \n"
            "    CN=Root-CA.cisco.com OU=LAB\n"
            "  Subject:\n"
            "    Name: get-KS\n"
            "    hostname=get-KS\n"
            "    ou=GETVPN_KS\n"
            "  Validity Date: \n"
            "    start date: 11:58:27 UTC Sep 9 2025\n"
            "    end   date: 11:58:27 UTC May 19 2039\n"
            "  Subject Key Info:\n"
            "    Public Key Algorithm: rsaEncryption\n"
            "    RSA Public Key: (2049 bit)\n"
            "  Signature Algorithm: SHA256 with RSA Encryption\n"
            "  Fingerprint MD5: 51576B28 1203C5EC 06FF408E F90B0E47\n"
            "  Fingerprint SHA1: 9D5B10E5 E9418C00 895E6DC7 9BE86624 B273CF15\n"
            "  Fingerprint SHA256: 00\n"
            "  X509v3 extensions:\n"
            "    X509v3 Key Usage: A0000000\n"
            "      Digital Signature\n"
            "      Key Encipherment\n"
            "    X509v3 Subject Key ID: 3A1012CD 1FB41E07 5B64742B 778B1E24 E1F07A92\n"
            "    Authority Info Access:\n"
            "    Extended Key Usage:\n"
            "        Client Auth\n"
            "        Server Auth\n"
            "  Cert install time: 11:58:28 UTC Sep 9 2025\n"
            "  Associated Trustpoints: GETVPN\n"
            "  Storage: /var/lib/cohort/ks1/trustpoints/GETVPN\n"
            "  Key Label: pkikey\n"
            "  Key storage device: /var/lib/cohort/ks1/keys\n");
}

// What the seed lab's authority is configured with, and what has become of it.
TEST(Render, CertificateServer) {
  const Json server = Json::parse(R"({
    "name": "ca-server", "issuer": "CN=Root-CA.example.org,OU=LAB", "listen": "10.191.61.120:80",
    "grant": "auto", "fingerprint_md5": "e184d9ec", "fingerprint_sha1": "a31ee77d",
    "fingerprint_sha256": "0011", "not_after": "2045-09-04T11:28:11Z", "last_serial": "05",
    "crl_next_update": null, "database": "/var/lib/cohort/ca/ca.sqlite", "certificates": 4,
    "revoked": 1, "pending": 2, "rejected": 3, "hash": "sha256",
    "lifetime_certificate_s": 432000000,
    "lifetime_ca_certificate_days": 7300, "lifetime_crl_s": 604800,
    "extended_key_usage": ["server-auth", "client-auth"], "challenge_required": true,
    "database_level": "complete", "database_archive": "pkcs12", "crl_url": null})");
  EXPECT_EQ(render_pki_server(server),
            "Certificate Server ca-server:\n"
            "    Status: enabled\n"
            "    State: enabled\n"
            "    Issuer name: CN=Root-CA.example.org,OU=LAB\n"
            "    SCEP server: http://10.191.61.120:80\n"
            "    CA cert fingerprint: E184D9EC\n"
            "    CA cert fingerprint SHA1: A31EE77D\n"
            "    CA cert fingerprint SHA256: 0011\n"
            "    Granting mode is: auto\n"
            "    Last certificate issued serial number (hex): 05\n"
            "    CA certificate expiration timer: 11:28:11 UTC Sep 4 2045\n"
            "    CRL NextUpdate timer: no CRL made yet\n"
            "    Current primary storage dir: /var/lib/cohort/ca/ca.sqlite\n"
            "    Database Level: complete - all issued certs written\n"
            "    Database archive: pkcs12\n"
            "    Hash: sha256\n"
            "    Lifetime of certificates: 5000 days, of the CA certificate: 7300 days\n"
            "    Lifetime of CRLs: 604800 sec\n"
            "    Extended key usage: server-auth client-auth\n"
            "    Challenge password: required\n"
            "    CRL distribution point: none\n"
            "    Certificates: 4 issued, 1 revoked; requests: 2 pending, 3 rejected\n");
}

TEST(Render, CoOperatingKeyServers) {
  const Json groups = Json::parse(R"json([{"name": "GETVPN", "group_handle": 1, "local_handle": 1,
    "local_address": "10.191.61.114", "local_priority": 100, "role": "Primary", "status": "Alive",
    "version": "1.0", "primary": "10.191.61.114", "key_source": "derived", "epoch": 3,
    "epoch_cause": "policy", "members": 2, "kek_generation": 0, "tek_generation": 4,
    "waits_for_operator": false, "sids_leased": 32768, "sids_left": 32766,
    "refresh_policy_time_s": 3600.0, "refresh_remaining_s": 3599.25, "per_user_remaining_s": 0,
    "sequence": 27, "clients": {"policy": "1.0.0", "group_member": "1.0.0", "sid": "1.0.0"},
    "peers": [{"handle": 2, "address": "10.191.61.115", "version": "1.0", "priority": 50,
      "role": "Secondary", "status": "Alive", "sequence": 26, "ike": "Established",
      "synchronized": true, "clients": {},
      "differences": [{"name": "sa 10 lifetime", "here": "7200", "there": "3600"}],
      "announces_sent": 9, "announces_sent_with_reply_request": 1, "announces_received": 8,
      "announces_received_with_reply_request": 2, "sent_drops": 0, "received_drops": 0,
      "bytes_sent": 1432, "bytes_received": 1208}]}])json");
  EXPECT_EQ(render_ks_coop(groups),
            R"text(Crypto Gdoi Group Name :GETVPN
        Group handle: 1, Local Key Server handle: 1

        Local Address: 10.191.61.114
        Local Priority: 100
        Local KS Role: Primary   , Local KS Status: Alive
        Local KS version: 1.0
        Primary: 10.191.61.114
        Keys: derived, epoch 3 (policy), 2 members
        Generation: KEK 0, TEK 4
        Sender ids: 32768 leased, 32766 left
        Primary Timers:
                Primary Refresh Policy Time: 3600
                Remaining Time: 3599.25
                Per-user timer remaining time: 0
                Antireplay Sequence Number: 27

        Peer Sessions:
        Session 1:
                Server handle: 2
                Peer Address: 10.191.61.115
                Peer Version: 1.0
                Peer Priority: 50
                Peer KS Role: Secondary , Peer KS Status: Alive
                Antireplay Sequence Number: 26

                IKE status: Established
                Synchronized: Yes
                Policy differs: sa 10 lifetime is '7200' here and '3600' there
                Counters:
                    Ann msgs sent: 9
                    Ann msgs sent with reply request: 1
                    Ann msgs recv: 8
                    Ann msgs recv with reply request: 2
                    Packet sent drops: 0
                    Packet Recv drops: 0
                    Total bytes sent: 1432
                    Total bytes recv: 1208

)text");
  EXPECT_EQ(render_ks_coop_version(groups), R"text(Group GETVPN
    Local Key Server 10.191.61.114
        COOP infrastructure Version : 1.0
        Clients:
            KS_POLICY_CLIENT    Version : 1.0.0
            GROUP_MEMBER_CLIENT Version : 1.0.0
            SID_CLIENT          Version : 1.0.0
    Peer Key Server 10.191.61.115
        COOP infrastructure Version : 1.0
        Clients:
            KS_POLICY_CLIENT    Version : -
            GROUP_MEMBER_CLIENT Version : -
            SID_CLIENT          Version : -
)text");
}

TEST(Render, AccessLists) {
  const Json lists = Json::parse(R"([{"name": "data_plane", "lines": [
    {"sequence": 10, "text": "permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255"},
    {"sequence": 20, "text": "permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.255"}]}])");
  EXPECT_EQ(render_access_lists(lists),
            "Extended IP access list data_plane\n"
            "    10 permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255\n"
            "    20 permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.255\n");
}

TEST(Render, CountersShowWhatIsNotZero) {
  const Json pairs = Json::parse(R"([{"port_pair": "wan", "ports": [],
    "forwards": {"encrypted": 3, "punted": 0}, "drops": {"bad_icv": 7, "no_buffer": 0},
    "drop_sentences": {"bad_icv": "authentication failed"},
    "sas": [{"spi": 256, "packets_out": 3, "bytes_out": 252}], "unknown_spi": 0}])");
  EXPECT_EQ(render_dataplane_counters(pairs),
            "Port pair wan\n"
            "  Packets\n"
            "    encrypted                    3\n"
            "  Drops\n"
            "    bad_icv                      7\n"
            "      authentication failed\n"
            "  SA 0x00000100(256)\n"
            "    encrypted 3 packets (252 bytes), decrypted 0 (0 bytes)\n"
            "    replayed 0, not authentic 0, used up 0 of 1000\n");
}

TEST(Render, RefusalsSayWhatTheyMean) {
  const Json refusals = Json::parse(R"([{"where": "isakmp", "reason": "bad_hash", "count": 2,
                                         "sentence": "the HASH payload does not fit"}])");
  EXPECT_EQ(render_refusals(refusals),
            "Entry                    Reason                           Count\n"
            "isakmp                   bad_hash                         2\n"
            "  the HASH payload does not fit\n");
  EXPECT_EQ(render_refusals(Json::array()), "Nothing was refused.\n");
}

TEST(Usage, NamesTheWordThatIsWrong) {
  const auto said = [](std::vector<std::string> words) {
    CLI::App app{"", "cohort"};
    app.require_subcommand(1);
    app.fallthrough();
    CLI::App* ks = app.add_subcommand("ks")->require_subcommand(1);
    std::string group;
    ks->add_subcommand("rekey")->add_option("GROUP", group)->required();
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      return usage_error(app, error);
    }
    return std::string("taken");
  };
  EXPECT_EQ(said({"ks", "rekey", "GETVPN"}), "taken");
  EXPECT_EQ(said({"frob"}),
            "cohort: there is no command or argument \"frob\" here; `cohort "
            "--help` lists what there is");
  EXPECT_EQ(said({"ks", "frob"}),
            "cohort: there is no command or argument \"frob\" here; `cohort "
            "ks --help` lists what there is");
  EXPECT_EQ(said({"ks", "rekey", "G", "--now"}),
            "cohort: there is no option \"--now\" here; "
            "`cohort ks rekey --help` lists what there is");
  EXPECT_EQ(said({"ks", "rekey"}), "cohort: GROUP is required; see `cohort ks rekey --help`");
  EXPECT_EQ(said({}), "cohort: A subcommand is required; see `cohort --help`");
  EXPECT_EQ(said({"a\x1b[2J"}).find('\x1b'), std::string::npos);
}

// Whatever stands in an answer's place, rendering neither throws nor sends control characters.
TEST(Render, OddAnswers) {
  for (const char* text : {"null", "1", "\"x\"", "[]", "{}", "[1,null,\"x\",{}]",
                           R"([{"name": 1, "registration": 2, "rekeys": [], "kek": "x",
                                "teks": [1], "acl": [1, {}], "servers": [1], "members": [1],
                                "lines": [1], "key_usage": [1], "sending": "yes",
                                "fail_close": "x", "forwards": {"a": "b"}}])",
                           R"([{"name": "a\u001b[2Jb", "identity": "\u0007"}])"}) {
    const Json json = Json::parse(text);
    for (const auto& render :
         {render_gkm_group, render_ks_members, render_ks_policy, render_ks_rekey, render_isakmp_sa,
          render_pki_server, render_trustpoints, render_requests, render_issued, render_keys,
          render_access_lists, render_dataplane_counters, render_version, render_refusals,
          render_debug, render_doctor, render_ks_coop, render_ks_coop_version}) {
      EXPECT_THAT(render(json), testing::Not(testing::HasSubstr("\x1b"))) << text;
    }
    EXPECT_THAT(render_certificates(json, true), testing::Not(testing::HasSubstr("\x1b")));
  }
}

TEST(Parts, Forms) {
  EXPECT_EQ(fingerprint_text("cd60821b034acfcf"), "CD60821B 034ACFCF");
  EXPECT_EQ(date_text("2026-01-02T03:04:05Z"), "03:04:05 UTC Jan 2 2026");
  EXPECT_EQ(date_text("soon"), "soon");
  EXPECT_EQ(address_of("[2001:db8::1]:848"), "2001:db8::1");
  EXPECT_EQ(port_of("[2001:db8::1]:848"), "848");
  EXPECT_EQ(address_of("10.0.0.1:848"), "10.0.0.1");
  EXPECT_EQ(address_of(""), "");
  EXPECT_EQ(spi_text(1398761275), "0x535F673B(1398761275)");
}

}  // namespace
}  // namespace cohort::daemon
