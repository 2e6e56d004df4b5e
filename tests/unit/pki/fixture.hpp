#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"
#include "pki/ca.hpp"
#include "pki/distinguished_name.hpp"
#include "pki/keyring.hpp"
#include "pki/options.hpp"
#include "pki/reasons.hpp"
#include "pki/request.hpp"
#include "pki/scep_client.hpp"
#include "pki/scep_server.hpp"

/// A World of memory for tests of pki/: nothing in it but time, a store and what was reported.
namespace cohort::pki::test {

inline constexpr WallTime epoch{std::chrono::seconds{1'790'000'000}};  // 2026-09-21

class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return wall_; }
  void advance(std::chrono::seconds by) {
    now_ += by;
    wall_ += by;
  }
  /// To a point of monotonic time, as a driver does; the wall clock follows.
  void advance_to(TimePoint when) {
    if (when <= now_) return;
    wall_ += std::chrono::ceil<std::chrono::seconds>(when - now_);
    now_ = when;
  }
  void step_wall(std::chrono::seconds by) { wall_ += by; }

 private:
  TimePoint now_{std::chrono::hours{1}};
  WallTime wall_ = epoch;
};

/// Repeatable octets (xorshift); certificates differ all the same, since their keys do.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed | 1) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) {
      state_ ^= state_ << 13;
      state_ ^= state_ >> 7;
      state_ ^= state_ << 17;
      octet = static_cast<std::uint8_t>(state_ >> 32);
    }
  }

 private:
  std::uint64_t state_;
};

class RecordingOutbox final : public Outbox {
 public:
  void send(Datagram) override { ADD_FAILURE() << "pki/ sends no datagrams"; }
  void report(Event event) override { events.push_back(std::move(event)); }
  void refuse(Refusal refusal) override { refusals.push_back(std::move(refusal)); }

  [[nodiscard]] std::size_t count(const Reason& reason) const {
    std::size_t out = 0;
    for (const auto& refusal : refusals) out += refusal.error.is(reason) ? 1u : 0u;
    return out;
  }
  [[nodiscard]] std::size_t count(const EventKind& kind) const {
    std::size_t out = 0;
    for (const auto& event : events) out += event.kind == &kind ? 1u : 0u;
    return out;
  }
  std::vector<Event> events;
  std::vector<Refusal> refusals;
};

class MemoryStore final : public Store {
 public:
  Status put(std::string_view name, ByteView value) override {
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/"),
              std::string_view::npos)
        << name;
    blobs[std::string(name)] = to_bytes(value);
    return {};
  }
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override {
    const auto found = blobs.find(std::string(name));
    if (found == blobs.end()) return std::nullopt;
    return found->second;
  }
  Status remove(std::string_view name) override {
    blobs.erase(std::string(name));
    return {};
  }
  std::map<std::string, Bytes> blobs;
};

class NoJobs final : public CryptoJobs {
 public:
  JobId post(Job) override {
    ADD_FAILURE() << "pki/ posts no jobs";
    return 0;
  }
};

class NoDataplane final : public Dataplane {
 public:
  Status apply(std::string_view, dataplane::Snapshot) override { return {}; }
  [[nodiscard]] dataplane::Usage usage(std::string_view) const override { return {}; }
};

/// One machine: its store, keys and trustpoints, on a clock that machines share.
class Machine {
 public:
  Machine(ManualClock& clock, std::uint64_t seed)
      : random(seed), keys(store), keyring(store, clock), world{clock,   random, outbox,   store,
                                                                keyring, jobs,   dataplane} {}

  MemoryStore store;
  RecordingOutbox outbox;
  SeededRandom random;
  NoJobs jobs;
  NoDataplane dataplane;
  KeyPairs keys;
  Keyring keyring;
  World world;
};

/// The value of a result, or a failed test that says why there is none.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(*result);
}
inline void must(Status status) {
  if (!status) throw std::runtime_error(status.error().text());
}

#define EXPECT_REFUSED(expression, reason_)                                   \
  do {                                                                        \
    const auto refused_ = (expression);                                       \
    if (refused_)                                                             \
      ADD_FAILURE() << "expected " << (reason_).name << ", but it succeeded"; \
    else                                                                      \
      EXPECT_TRUE(refused_.error().is(reason_)) << refused_.error().text();   \
  } while (false)

inline CaOptions ca_options() {
  CaOptions out;
  out.name = "ca-server";
  out.issuer_name = "CN=ca-server, O=Seed Lab";
  out.database = ":memory:";
  out.grant = Grant::automatic;
  out.key_bits = 2048;
  return out;
}

inline TrustpointOptions trustpoint_options(const std::string& name = "GETVPN") {
  TrustpointOptions out;
  out.name = name;
  out.enrollment_url = "http://10.191.61.120/scep";
  out.subject_name = "CN=gm1, OU=GETVPN_GM";
  out.hostname = "gm1.example.net";
  out.key.label = "pkikey";
  out.key.bits = 2048;
  return out;
}

/// RSA keys take long to make: four of them go round, so that two in one test are different.
inline crypto::PrivateKey pooled_rsa() {
  static std::vector<crypto::PrivateKey> pool;
  static std::size_t next = 0;
  if (pool.size() < 4) pool.push_back(must(crypto::PrivateKey::generate_rsa(2048)));
  return pool[next++ % 4];
}

/// A key and its request, as any client makes them.
struct Applicant {
  crypto::PrivateKey key;
  CertificateRequest request;
};
inline Applicant applicant(std::string_view subject, std::string_view challenge = {},
                           crypto::KeyType type = crypto::KeyType::ecdsa_p256) {
  auto key =
      type == crypto::KeyType::rsa ? pooled_rsa() : must(crypto::PrivateKey::generate_ec(type));
  RequestContents contents;
  contents.subject_der = must(name_der_of_text(subject));
  contents.challenge_password = Secret::of_text(challenge);
  auto request = must(CertificateRequest::make(contents, key, crypto::Hash::sha256));
  return {std::move(key), std::move(request)};
}

}  // namespace cohort::pki::test
