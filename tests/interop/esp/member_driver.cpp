/// A member's dataplane without a control plane: ports by EAL syntax, one SA for everything, keys
/// on the command line. For tests against other people's programs, never for use.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <poll.h>
#include <thread>
#include <unistd.h>

#include "dataplane/manager.hpp"

namespace {

using namespace cohort;
using namespace cohort::dataplane;

struct Arguments {
  std::string inside;
  std::string outside;
  std::string punt;
  std::string own;
  std::string suite = "aes-256-gcm";
  std::uint32_t spi = 0x1000;
  std::string cipher_key;
  std::string integrity_key;
  std::string salt;
  std::uint32_t sender_id = 1;
  std::uint16_t mtu = 1500;
  std::uint64_t packets = 0;
  bool no_replay = false;
};

Secret secret(const std::string& hex) {
  return Secret(from_hex(hex).value());
}

Snapshot snapshot_of(const Arguments& arguments) {
  const auto& suites = all_suites();
  const auto shape =
      std::ranges::find_if(suites, [&](const SuiteShape& s) { return s.name == arguments.suite; });
  if (shape == suites.end()) throw std::runtime_error("no such suite");
  Sa sa;
  sa.spi = arguments.spi;
  sa.suite = shape->suite;
  sa.cipher_key = secret(arguments.cipher_key);
  if (shape->aead) {
    sa.salt = secret(arguments.salt);
    sa.sender_ids = {arguments.sender_id};
    sa.sid_bits = 16;
  } else {
    sa.integrity_key = secret(arguments.integrity_key);
  }
  if (arguments.no_replay) sa.replay = ReplayKind::none;
  Snapshot snapshot;
  for (const Family family : {Family::v4, Family::v6}) {
    PolicyEntry entry;
    entry.selector.source = Prefix::any(family);
    entry.selector.destination = Prefix::any(family);
    entry.send_spi = sa.spi;
    entry.receive_spis = {sa.spi};
    snapshot.policy.push_back(std::move(entry));
  }
  snapshot.sas.push_back(std::move(sa));
  return snapshot;
}

std::uint64_t handled(const Usage& usage) {
  std::uint64_t sum = 0;
  for (const NamedCounter& drop : usage.drops) sum += drop.value;
  for (const NamedCounter& forward : usage.forwards)
    if (forward.name == "encrypted" || forward.name == "decrypted" || forward.name == "bypassed")
      sum += forward.value;
  return sum;
}

bool input_closed() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, 100) <= 0) return false;
  char octet = 0;
  return read(STDIN_FILENO, &octet, 1) == 0;
}

int run(const Arguments& arguments) {
  DataplaneOptions options;
  options.eal.hugepages = false;
  options.eal.file_prefix = fmt::format("cohort-driver-{}", getpid());
  options.mbufs_per_pair = 4095;
  options.start_workers = false;
  PortPairOptions pair;
  pair.name = "pair";
  pair.inside = arguments.inside;
  pair.outside = arguments.outside;
  pair.punt = arguments.punt;
  pair.mtu = arguments.mtu;
  if (!arguments.own.empty()) pair.own_addresses = {IpAddress::parse(arguments.own).value()};
  options.port_pairs.push_back(std::move(pair));
  auto manager = Manager::create(std::move(options));
  if (!manager) {
    fmt::print(stderr, "{}\n", manager.error().text());
    return 1;
  }
  // A capture file is read as soon as the workers run: it must find the SA there.
  if (const Status status = (*manager)->apply("pair", snapshot_of(arguments)); !status) {
    fmt::print(stderr, "{}\n", status.error().text());
    return 1;
  }
  (*manager)->start();
  fmt::print("ready\n");
  std::fflush(stdout);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (arguments.packets > 0 ? handled((*manager)->usage("pair")) < arguments.packets
                               : !input_closed()) {
    (*manager)->reclaim();
    if (arguments.packets == 0) continue;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const Usage usage = (*manager)->usage("pair");
  for (const auto* list : {&usage.drops, &usage.forwards})
    for (const NamedCounter& counter : *list)
      if (counter.value > 0) fmt::print("{} {}\n", counter.name, counter.value);
  for (const std::string& sentence : (*manager)->advice()) fmt::print("# {}\n", sentence);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("a member's dataplane with keys from the command line, for tests");
  app.add_option("--inside", arguments.inside)->required();
  app.add_option("--outside", arguments.outside)->required();
  app.add_option("--punt", arguments.punt);
  app.add_option("--own", arguments.own);
  app.add_option("--suite", arguments.suite);
  app.add_option("--spi", arguments.spi);
  app.add_option("--cipher-key", arguments.cipher_key)->required();
  app.add_option("--integrity-key", arguments.integrity_key);
  app.add_option("--salt", arguments.salt);
  app.add_option("--sender-id", arguments.sender_id);
  app.add_option("--mtu", arguments.mtu);
  app.add_option("--packets", arguments.packets, "stop after so many; else when stdin closes");
  app.add_flag("--no-replay", arguments.no_replay);
  CLI11_PARSE(app, argc, argv);
  return run(arguments);
}
