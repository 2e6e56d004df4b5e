#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/event.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/base/time.hpp"
#include "controlplane/crypto/dh.hpp"
#include "controlplane/crypto/key.hpp"
#include "controlplane/world/identity.hpp"
#include "dataplane/api/snapshot.hpp"

/// The outside of a protocol node, as interfaces. The daemon has the real half, tests/sim the
/// simulated one. All calls come from the node's one control-plane thread.
namespace cohort {

/// One UDP payload.
struct Datagram {
  Endpoint local;   ///< our end; an unspecified address lets the network choose
  Endpoint remote;  ///< the peer's end
  Bytes payload;
};

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;  ///< may step
};

class Random {
 public:
  virtual ~Random() = default;
  /// Unpredictable octets (in a simulation: drawn from the seed).
  virtual void fill(std::span<std::uint8_t> out) = 0;

  Bytes bytes(std::size_t n);
  Secret secret(std::size_t n);
  std::uint32_t u32();
  std::uint64_t u64();
  /// Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
};

/// Where a node's effects go.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void send(Datagram datagram) = 0;
  virtual void report(Event event) = 0;
  virtual void refuse(Refusal refusal) = 0;
  /// Receive datagrams for a multicast group on the interface of `local` (multicast rekeys).
  virtual void join_multicast(const IpAddress& /*group*/, const IpAddress& /*local*/) {}
  virtual void leave_multicast(const IpAddress& /*group*/, const IpAddress& /*local*/) {}
};

/// Durable named blobs. A write is atomic and durable when it returns: after a crash there is
/// the old value or the new one. Names are [a-z0-9._-/]; values may hold secrets (mode 0600).
class Store {
 public:
  virtual ~Store() = default;
  virtual Status put(std::string_view name, ByteView value) = 0;
  /// Empty when there is none; an error when it is there and can't be read.
  [[nodiscard]] virtual Result<std::optional<Bytes>> get(std::string_view name) const = 0;
  virtual Status remove(std::string_view name) = 0;
};

/// Certificates and keys, by trustpoint name. IKE meets PKI through this only.
class Credentials {
 public:
  virtual ~Credentials() = default;
  /// What we authenticate with; empty while not enrolled.
  [[nodiscard]] virtual std::optional<LocalIdentity> local(std::string_view trustpoint) const = 0;
  /// DER Names of the issuers that we accept, for CERTREQ.
  [[nodiscard]] virtual std::vector<Bytes> issuers(std::string_view trustpoint) const = 0;
  /// Checks a peer's chain (leaf first, then any intermediates, unordered) against the trustpoint:
  /// signatures, validity now, key usage, revocation. The result has no address and no id_text.
  [[nodiscard]] virtual Result<PeerIdentity> verify(std::string_view trustpoint,
                                                    std::span<const Bytes> chain) const = 0;
  /// The pre-shared key for the peer at `address`, if there is one.
  [[nodiscard]] virtual std::optional<Secret> pre_shared_key(const IpAddress& address) const = 0;
};

/// Public-key work that runs elsewhere and comes back through on_job_done.
struct DhGenerateJob {
  crypto::DhGroup group;
};
struct DhSharedJob {
  std::shared_ptr<const crypto::DhKey> key;
  Bytes peer_public;
};
struct SignJob {
  crypto::PrivateKey key;
  crypto::SignatureForm form;
  crypto::Hash hash;
  Bytes digest;
};
struct VerifyJob {
  crypto::PublicKey key;
  crypto::SignatureForm form;
  crypto::Hash hash;
  Bytes digest;
  Bytes signature;
};
using Job = std::variant<DhGenerateJob, DhSharedJob, SignJob, VerifyJob>;
/// In the order of Job: key pair, shared secret, signature, nothing.
using JobValue = std::variant<std::monostate, std::shared_ptr<const crypto::DhKey>, Secret, Bytes>;
using JobResult = Result<JobValue>;
using JobId = std::uint64_t;

/// Does the work of a job, on whatever thread; touches nothing but the job.
[[nodiscard]] JobResult run_job(const Job& job);

class CryptoJobs {
 public:
  virtual ~CryptoJobs() = default;
  /// Never completes before it has returned; ids are never reused.
  virtual JobId post(Job job) = 0;
};

/// The member's way to its workers.
class Dataplane {
 public:
  virtual ~Dataplane() = default;
  /// Replaces policy and SAs of one port pair as a whole; the old ones serve until every worker
  /// has changed over. An SA that is in both (same SPI) keeps its counters and replay window.
  virtual Status apply(std::string_view port_pair, dataplane::Snapshot snapshot) = 0;
  /// Counters of the SAs installed on a port pair, and notices for the control plane.
  [[nodiscard]] virtual dataplane::Usage usage(std::string_view port_pair) const = 0;
};

/// The struct of them all. A node keeps a reference and owns none of it.
struct World {
  Clock& clock;
  Random& random;
  Outbox& outbox;
  Store& store;
  Credentials& credentials;
  CryptoJobs& jobs;
  Dataplane& dataplane;
};

/// What every protocol node offers to whoever drives it (event loop, simulator, fuzzer).
class Node {
 public:
  virtual ~Node() = default;
  virtual void on_datagram(TimePoint now, const Datagram& datagram) = 0;
  virtual void on_timer(TimePoint now) = 0;
  /// When on_timer wants to be called next; `never` if not at all.
  [[nodiscard]] virtual TimePoint next_deadline() const = 0;
  virtual void on_job_done(TimePoint now, JobId id, JobResult result) = 0;
};

}  // namespace cohort
