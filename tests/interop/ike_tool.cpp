// Phase 1 over real UDP sockets, for tests against programs that we did not write. Prints a line
// for each thing that happens; reads commands from standard input:
//   initiate | close | notify | count | quit
#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstdio>
#include <deque>
#include <event2/event.h>
#include <event2/util.h>
#include <fstream>
#include <iostream>
#include <map>
#include <netinet/in.h>
#include <random>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/ike/isakmp.hpp"
#include "controlplane/ike/reasons.hpp"
#include "tests/exchange/harness.hpp"

namespace cohort {
namespace {

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

class RealClock final : public Clock {
 public:
  RealClock() : timer_(evutil_monotonic_timer_new(), &evutil_monotonic_timer_free) {
    evutil_configure_monotonic_time(timer_.get(), EV_MONOT_PRECISE);
  }
  [[nodiscard]] TimePoint now() const override {
    timeval value{};
    evutil_gettime_monotonic(timer_.get(), &value);
    return TimePoint{std::chrono::seconds{value.tv_sec} + std::chrono::microseconds{value.tv_usec}};
  }
  [[nodiscard]] WallTime wall() const override {
    timeval value{};
    evutil_gettimeofday(&value, nullptr);
    return WallTime{std::chrono::seconds{value.tv_sec}};
  }

 private:
  std::unique_ptr<evutil_monotonic_timer, decltype(&evutil_monotonic_timer_free)> timer_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("can't read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Arguments {
  std::string local, peer, psk, certificate, key, trust;
  std::vector<std::string> chain;
  std::vector<std::string> policies;
  std::uint16_t port = 848;
  std::string dpd = "off";
  unsigned dpd_interval = 2;
  unsigned lifetime = 3600;
  std::size_t fragment_size = 1280;
  unsigned tries = 2;
  bool nat_traversal = false;
  bool allow_weak = false;
  std::uint64_t seed = 1;
};

std::uint16_t number_of(std::string_view text) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error("not a number: " + std::string(text));
  return value;
}

/// "aes256/sha256/14/rsa"
ike::Phase1Policy policy_of(const std::string& text, unsigned lifetime) {
  using crypto::Cipher;
  using crypto::Hash;
  using ike::AuthMethod;
  static const std::map<std::string, Cipher> ciphers{{"aes128", Cipher::aes_128},
                                                     {"aes192", Cipher::aes_192},
                                                     {"aes256", Cipher::aes_256},
                                                     {"3des", Cipher::triple_des}};
  static const std::map<std::string, Hash> hashes{{"md5", Hash::md5},
                                                  {"sha1", Hash::sha1},
                                                  {"sha256", Hash::sha256},
                                                  {"sha384", Hash::sha384},
                                                  {"sha512", Hash::sha512}};
  static const std::map<std::string, AuthMethod> methods{{"psk", AuthMethod::pre_shared_key},
                                                         {"rsa", AuthMethod::rsa_signature},
                                                         {"ecdsa256", AuthMethod::ecdsa_256},
                                                         {"ecdsa384", AuthMethod::ecdsa_384},
                                                         {"ecdsa521", AuthMethod::ecdsa_521}};
  std::array<std::string, 4> parts;
  std::size_t at = 0;
  for (const char c : text) {
    if (c == '/')
      ++at;
    else
      parts.at(at).push_back(c);
  }
  return {ciphers.at(parts[0]), hashes.at(parts[1]),
          static_cast<crypto::DhGroup>(number_of(parts[2])), methods.at(parts[3]),
          std::chrono::seconds{lifetime}};
}

/// The World over libevent and two sockets; jobs run when the loop comes round.
class Tool final : public Outbox, public CryptoJobs, public ike::ExchangeHandler {
 public:
  Tool(event_base* base, const Arguments& arguments)
      : base_(base),
        arguments_(arguments),
        random_(arguments.seed),
        credentials_(clock_),
        world_{clock_, random_, *this, store_, credentials_, *this, dataplane_} {
    load_credentials();
    ike::IsakmpOptions options;
    options.local = {IpAddress::parse(arguments.local).value(), arguments.port};
    for (const auto& text : arguments.policies)
      options.policies.push_back(policy_of(text, arguments.lifetime));
    options.trustpoint = "interop";
    options.allow_weak = arguments.allow_weak;
    options.nat_traversal = arguments.nat_traversal;
    options.fragment_size = arguments.fragment_size;
    options.retransmit_tries = arguments.tries;
    using Mode = ike::DpdOptions::Mode;
    options.dpd.mode = arguments.dpd == "periodic" ? Mode::periodic : Mode::off;
    options.dpd.interval = std::chrono::seconds{arguments.dpd_interval};
    options.dpd.retry = std::chrono::seconds{1};
    options.dpd.retries = 3;
    isakmp_.emplace(world_, options);
    isakmp_->attach(ike::ExchangeType::groupkey_pull, *this);
    open(arguments.port);
    if (arguments.nat_traversal) open(options.nat_port);
    timer_ = evtimer_new(base, &on_timer, this);
    input_ = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, &on_input, this);
    event_add(input_, nullptr);
    say("READY");
  }
  ~Tool() override {
    event_free(timer_);
    event_free(input_);
    for (const auto& [port, end] : sockets_) {
      event_free(end.readable);
      ::close(end.socket);
    }
  }

  void send(Datagram datagram) override {
    const auto end = sockets_.find(datagram.local.port);
    if (end == sockets_.end()) return say("NO-SOCKET " + datagram.local.text());
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(datagram.remote.port);
    to.sin_addr.s_addr = htonl(datagram.remote.address.v4_value());
    (void)::sendto(end->second.socket, datagram.payload.data(), datagram.payload.size(), 0,
                   reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  void report(Event event) override { say("EVENT " + event.text()); }
  void refuse(Refusal refusal) override { say("REFUSED " + refusal.error.text()); }
  JobId post(Job job) override {
    jobs_.emplace_back(++last_job_, std::move(job));
    arm();
    return last_job_;
  }

  void on_phase1_established(TimePoint, const ike::Phase1Info& info) override {
    last_ = info.id;
    say("ESTABLISHED " + info.peer.id_text + " at " + info.remote.text());
  }
  void on_phase1_closed(TimePoint, ike::Phase1Id, const Error& why) override {
    say("CLOSED " + why.text());
  }
  void on_notify(TimePoint, const ike::Phase1Info&, ike::NotifyType type, ByteView,
                 ByteView) override {
    say("NOTIFY " + std::string(ike::name_of(type)));
  }

 private:
  struct End {
    int socket;
    event* readable;
    std::uint16_t port;
    Tool* tool;
  };

  void load_credentials() {
    if (!arguments_.psk.empty())
      credentials_.share_key(IpAddress::parse(arguments_.peer).value(), arguments_.psk);
    if (arguments_.certificate.empty()) return;
    const auto key = crypto::PrivateKey::from_pem(contents(arguments_.key), Secret()).value();
    std::vector<harness::Certified> above;
    for (const auto& path : arguments_.chain)
      above.push_back(harness::certified_from_pem(contents(path), key));
    credentials_.enrol("interop",
                       harness::certified_from_pem(contents(arguments_.certificate), key), above);
    credentials_.trust("interop", harness::certified_from_pem(contents(arguments_.trust), key));
  }

  void open(std::uint16_t port) {
    End& end = sockets_[port];
    end.socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    end.port = port;
    end.tool = this;
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(IpAddress::parse(arguments_.local).value().v4_value());
    if (::bind(end.socket, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
      throw std::runtime_error("can't bind UDP " + std::to_string(port));
    end.readable = event_new(base_, end.socket, EV_READ | EV_PERSIST, &on_readable, &end);
    event_add(end.readable, nullptr);
  }

  static void on_readable(evutil_socket_t socket, short, void* argument) {
    const End& end = *static_cast<End*>(argument);
    std::array<std::uint8_t, 65536> buffer{};
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const auto size = ::recvfrom(socket, buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return;
    Tool& tool = *end.tool;
    const Endpoint remote{IpAddress::v4(ntohl(from.sin_addr.s_addr)), ntohs(from.sin_port)};
    const Endpoint local{IpAddress::parse(tool.arguments_.local).value(), end.port};
    const ByteView octets(buffer.data(), static_cast<std::size_t>(size));
    tool.isakmp_->on_datagram(tool.clock_.now(), {local, remote, to_bytes(octets)});
    tool.arm();
  }

  static void on_timer(evutil_socket_t, short, void* argument) {
    Tool& tool = *static_cast<Tool*>(argument);
    while (!tool.jobs_.empty()) {
      auto [id, job] = std::move(tool.jobs_.front());
      tool.jobs_.pop_front();
      tool.isakmp_->on_job_done(tool.clock_.now(), id, run_job(job));
    }
    tool.isakmp_->on_timer(tool.clock_.now());
    tool.arm();
  }

  static void on_input(evutil_socket_t, short, void* argument) {
    static_cast<Tool*>(argument)->read_commands();
  }

  void read_commands() {
    std::array<char, 256> buffer{};
    const auto size = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (size <= 0) {
      event_base_loopexit(base_, nullptr);
      return;
    }
    typed_.append(buffer.data(), static_cast<std::size_t>(size));
    for (auto end = typed_.find('\n'); end != std::string::npos; end = typed_.find('\n')) {
      const std::string line = typed_.substr(0, end);
      typed_.erase(0, end + 1);
      command(line);
    }
    arm();
  }

  void command(const std::string& line) {
    const TimePoint now = clock_.now();
    if (line == "initiate")
      isakmp_->initiate(now, {IpAddress::parse(arguments_.peer).value(), arguments_.port});
    else if (line == "close")
      isakmp_->close(now, last_, ike::phase1_expired);
    else if (line == "notify")
      isakmp_->notify(now, last_, ike::NotifyType::invalid_id_information);
    else if (line == "count")
      say("COUNT " + std::to_string(isakmp_->established().size()));
    else if (line == "quit")
      event_base_loopexit(base_, nullptr);
  }

  void arm() {
    const TimePoint now = clock_.now();
    const TimePoint next = jobs_.empty() ? isakmp_->next_deadline() : now;
    evtimer_del(timer_);
    if (next == never) return;
    const auto wait = std::max(next - now, Duration{0}).count();
    const timeval delay{static_cast<time_t>(wait / 1'000'000),
                        static_cast<suseconds_t>(wait % 1'000'000)};
    evtimer_add(timer_, &delay);
  }

  event_base* base_;
  Arguments arguments_;
  RealClock clock_;
  harness::SeededRandom random_;
  harness::MemoryStore store_;
  harness::TestCredentials credentials_;
  harness::RecordingDataplane dataplane_;
  World world_;
  std::optional<ike::Isakmp> isakmp_;
  std::map<std::uint16_t, End> sockets_;
  event* timer_ = nullptr;
  event* input_ = nullptr;
  std::deque<std::pair<JobId, Job>> jobs_;
  JobId last_job_ = 0;
  ike::Phase1Id last_;
  std::string typed_;
};

}  // namespace
}  // namespace cohort

int main(int argc, char** argv) {
  CLI::App app{"IKEv1 phase 1 over real sockets"};
  cohort::Arguments arguments;
  app.add_option("--local", arguments.local)->required();
  app.add_option("--peer", arguments.peer)->required();
  app.add_option("--port", arguments.port);
  app.add_option("--policy", arguments.policies, "CIPHER/HASH/GROUP/AUTH")->required();
  app.add_option("--psk", arguments.psk);
  app.add_option("--cert", arguments.certificate);
  app.add_option("--key", arguments.key);
  app.add_option("--chain", arguments.chain);
  app.add_option("--trust", arguments.trust);
  app.add_option("--dpd", arguments.dpd, "off or periodic");
  app.add_option("--dpd-interval", arguments.dpd_interval);
  app.add_option("--lifetime", arguments.lifetime);
  app.add_option("--fragment-size", arguments.fragment_size);
  app.add_option("--tries", arguments.tries, "repetitions of a message");
  app.add_flag("--nat-traversal", arguments.nat_traversal);
  app.add_flag("--allow-weak", arguments.allow_weak);
  app.add_option("--seed", arguments.seed);
  CLI11_PARSE(app, argc, argv);
  event_base* base = event_base_new();
  int result = 0;
  try {
    cohort::Tool tool(base, arguments);
    event_base_dispatch(base);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    result = 1;
  }
  event_base_free(base);
  return result;
}
