// SCEP over real HTTP, for tests with other programs: our CA as a server, our client as a client.
//   scep-tool serve PORT_FILE [--allow-weak] [--manual] [--challenge TEXT] [--ecdsa]
//                   [--lifetime-days N]
//   scep-tool enrol URL DIRECTORY [--allow-weak] [--challenge TEXT] [--fingerprint HEX] [--renew]
//                   [--once]
// `serve` listens on a free loopback port and writes it to PORT_FILE; a GET of /grant grants what
// is pending, /revoke/SERIAL revokes. `enrol` writes ca.pem and certificate.pem and exits 0.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <memory>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <optional>
#include <string>
#include <vector>

#include "pki/ca.hpp"
#include "pki/keyring.hpp"
#include "pki/reasons.hpp"
#include "pki/scep_client.hpp"
#include "pki/scep_server.hpp"

namespace {

using namespace cohort;
using namespace cohort::pki;

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override {
    return TimePoint(
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
  }
  [[nodiscard]] WallTime wall() const override {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }
};

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) std::abort();
  }
};

class Printer final : public Outbox {
 public:
  void send(Datagram) override {}
  void report(Event event) override { fmt::print(stderr, "{}\n", event.text()); }
  void refuse(Refusal refusal) override {
    fmt::print(stderr, "refused {} {}: {}\n", refusal.where, refusal.peer, refusal.error.text());
  }
};

class MemoryStore final : public Store {
 public:
  Status put(std::string_view name, ByteView value) override {
    blobs_[std::string(name)] = to_bytes(value);
    return {};
  }
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override {
    const auto found = blobs_.find(std::string(name));
    if (found == blobs_.end()) return std::nullopt;
    return found->second;
  }
  Status remove(std::string_view name) override {
    blobs_.erase(std::string(name));
    return {};
  }

 private:
  std::map<std::string, Bytes> blobs_;
};

class NoJobs final : public CryptoJobs {
 public:
  JobId post(Job) override { std::abort(); }
};

class NoDataplane final : public Dataplane {
 public:
  Status apply(std::string_view, dataplane::Snapshot) override { return {}; }
  [[nodiscard]] dataplane::Usage usage(std::string_view) const override { return {}; }
};

struct Machine {
  SystemClock clock;
  SystemRandom random;
  Printer outbox;
  MemoryStore store;
  NoJobs jobs;
  NoDataplane dataplane;
  KeyPairs keys{store};
  Keyring keyring{store, clock};
  World world{clock, random, outbox, store, keyring, jobs, dataplane};
};

struct Arguments {
  std::vector<std::string> plain;
  bool allow_weak = false;
  bool manual = false;
  bool ecdsa = false;
  bool renew = false;
  bool once = false;  ///< give up at the first failure
  std::string challenge;
  std::string fingerprint;
  int lifetime_days = 30;
};

int number(std::string_view text) {
  int out = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, out).ptr != end) std::exit(2);
  return out;
}

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--allow-weak")
      out.allow_weak = true;
    else if (word == "--manual")
      out.manual = true;
    else if (word == "--ecdsa")
      out.ecdsa = true;
    else if (word == "--renew")
      out.renew = true;
    else if (word == "--once")
      out.once = true;
    else if (word == "--challenge" && has_value)
      out.challenge = argv[++i];
    else if (word == "--fingerprint" && has_value)
      out.fingerprint = argv[++i];
    else if (word == "--lifetime-days" && has_value)
      out.lifetime_days = number(argv[++i]);
    else
      out.plain.push_back(word);
  }
  return out;
}

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().text());
  std::exit(1);
}
void must(Status status) {
  if (status) return;
  fmt::print(stderr, "{}\n", status.error().text());
  std::exit(1);
}

Bytes body_of(evbuffer* buffer) {
  Bytes out(evbuffer_get_length(buffer));
  evbuffer_copyout(buffer, out.data(), out.size());
  return out;
}

struct Served {
  CertificateAuthority& ca;
  ScepServer& server;
};

/// The operator's side, which the product has in its own command.
bool operate(Served& served, const std::string& url) {
  if (url == "/grant") {
    for (const auto& request : must(served.ca.requests(RequestState::pending)))
      must(served.ca.grant(request.id));
    return true;
  }
  if (!url.starts_with("/revoke/")) return false;
  must(served.ca.revoke(url.substr(8), RevocationReason::key_compromise));
  return true;
}

void on_request(evhttp_request* raw, void* user) {
  auto& served = *static_cast<Served*>(user);
  HttpRequest request;
  request.method =
      evhttp_request_get_command(raw) == EVHTTP_REQ_POST ? HttpMethod::post : HttpMethod::get;
  request.url = evhttp_request_get_uri(raw);
  request.body = body_of(evhttp_request_get_input_buffer(raw));
  request.peer = "loopback";
  const HttpResponse response = operate(served, request.url) ? HttpResponse{200, "text/plain", {}}
                                                             : served.server.handle(request);
  evkeyvalq* headers = evhttp_request_get_output_headers(raw);
  evhttp_add_header(headers, "Content-Type", response.content_type.c_str());
  evbuffer_add(evhttp_request_get_output_buffer(raw), response.body.data(), response.body.size());
  evhttp_send_reply(raw, static_cast<int>(response.status), nullptr, nullptr);
}

int serve(const Arguments& arguments) {
  Machine machine;
  CaOptions options;
  options.issuer_name = "CN=cohort test CA, O=Seed Lab, C=US";
  options.database = ":memory:";
  options.grant = arguments.manual ? Grant::manual : Grant::automatic;
  options.key_bits = 2048;
  if (arguments.ecdsa) options.key_type = crypto::KeyType::ecdsa_p256;
  options.allow_weak = arguments.allow_weak;
  options.certificate_lifetime = Days(arguments.lifetime_days);
  if (!arguments.challenge.empty())
    options.challenge_passwords.push_back(Secret::of_text(arguments.challenge));
  const auto ca = must(CertificateAuthority::open(std::move(options), machine.world));
  ScepServer server(*ca, machine.world);
  Served served{*ca, server};

  event_base* base = event_base_new();
  evhttp* http = evhttp_new(base);
  evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
  evhttp_set_max_headers_size(http, static_cast<ev_ssize_t>(http_url_max));
  evhttp_set_max_body_size(http, static_cast<ev_ssize_t>(http_body_max));
  evhttp_set_gencb(http, on_request, &served);
  evhttp_bound_socket* socket = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
  if (socket == nullptr) return 1;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(evhttp_bound_socket_get_fd(socket), reinterpret_cast<sockaddr*>(&address), &length);
  const auto port = ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  // Fingerprint first, then the name that the test waits for.
  std::ofstream(arguments.plain[1] + ".new")
      << port << "\n"
      << ca->certificate().fingerprint(crypto::Hash::sha256) << "\n";
  std::rename((arguments.plain[1] + ".new").c_str(), arguments.plain[1].c_str());
  event_base_dispatch(base);
  return 0;
}

/// Carries one request of the client over a connection of its own.
struct Carrier {
  event_base* base;
  ScepClient* client;
  SystemClock clock;
  std::uint64_t id = 0;
  evhttp_connection* connection = nullptr;

  void carry(const OutgoingHttp& out) {
    const HttpUrl url = must(parse_http_url(out.request.url));
    if (connection != nullptr) evhttp_connection_free(connection);
    connection = evhttp_connection_base_new(base, nullptr, url.host.c_str(), url.port);
    evhttp_connection_set_max_body_size(connection, static_cast<ev_ssize_t>(http_body_max));
    id = out.id;
    evhttp_request* request = evhttp_request_new(&Carrier::on_done, this);
    evkeyvalq* headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Host", fmt::format("{}:{}", url.host, url.port).c_str());
    const bool post = out.request.method == HttpMethod::post;
    if (post) {
      evhttp_add_header(headers, "Content-Type", out.request.content_type.c_str());
      evbuffer_add(evhttp_request_get_output_buffer(request), out.request.body.data(),
                   out.request.body.size());
    }
    evhttp_make_request(connection, request, post ? EVHTTP_REQ_POST : EVHTTP_REQ_GET,
                        url.target.c_str());
  }

  static void on_done(evhttp_request* raw, void* user) {
    auto& self = *static_cast<Carrier*>(user);
    if (raw == nullptr || evhttp_request_get_response_code(raw) == 0)
      return self.client->on_response(self.clock.now(), self.id, fail(http_failed, "no answer"));
    HttpResponse response;
    response.status = static_cast<unsigned>(evhttp_request_get_response_code(raw));
    response.body = body_of(evhttp_request_get_input_buffer(raw));
    self.client->on_response(self.clock.now(), self.id, std::move(response));
  }
};

int enrol(const Arguments& arguments) {
  Machine machine;
  TrustpointOptions options;
  options.name = "GETVPN";
  options.enrollment_url = arguments.plain[1];
  options.subject_name = "CN=gm1, OU=GETVPN_GM, C=US";
  options.hostname = "gm1.example.net";
  options.key.bits = 2049;  // a size of the seed lab
  options.allow_weak = arguments.allow_weak;
  options.challenge_password = Secret::of_text(arguments.challenge);
  options.fingerprint_sha256 = arguments.fingerprint;
  options.revocation_check = RevocationCheck::crl_then_none;
  options.retry_interval = options.poll_interval = std::chrono::seconds(1);
  options.crl_refresh_max = std::chrono::hours(24);
  Trustpoint& trustpoint = machine.keyring.add(std::move(options));
  ScepClient client(machine.world, trustpoint, machine.keys);
  Carrier carrier{event_base_new(), &client, {}, 0, nullptr};
  client.start(machine.clock.now());
  const TimePoint give_up = machine.clock.now() + std::chrono::seconds(20);
  bool renewed = !arguments.renew;
  while (machine.clock.now() < give_up) {
    if (client.state() == EnrolState::decision) must(client.decide(machine.clock.now(), true));
    if (client.state() == EnrolState::enrolled && renewed) break;
    if (client.state() == EnrolState::refused) break;
    if (client.state() == EnrolState::retry && arguments.once) break;
    if (client.state() == EnrolState::enrolled) {
      must(client.renew(machine.clock.now()));
      renewed = true;
    }
    if (client.next_deadline() <= machine.clock.now()) client.on_timer(machine.clock.now());
    if (const auto wish = client.take_key_wish())
      client.on_key(machine.clock.now(), wish->id,
                    generate_key(wish->options.type, wish->options.bits));
    if (auto out = client.take_request()) carrier.carry(*out);
    timeval tick{0, 20'000};
    event_base_loopexit(carrier.base, &tick);
    event_base_dispatch(carrier.base);
  }
  if (client.state() != EnrolState::enrolled) {
    fmt::print(stderr, "not enrolled: {}: {}\n", name_of(client.state()),
               client.last_error() ? client.last_error()->text() : "no error");
    return 1;
  }
  std::ofstream(arguments.plain[2] + "/certificate.pem") << trustpoint.certificate()->pem();
  std::ofstream(arguments.plain[2] + "/ca.pem") << trustpoint.trust().anchors.front().pem();
  fmt::print("enrolled serial {} crls {}\n", trustpoint.certificate()->serial(),
             trustpoint.trust().crls.size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (arguments.plain.size() == 2 && arguments.plain[0] == "serve") return serve(arguments);
  if (arguments.plain.size() == 3 && arguments.plain[0] == "enrol") return enrol(arguments);
  std::fprintf(stderr, "usage: scep-tool serve PORT_FILE … | enrol URL DIRECTORY …\n");
  return 2;
}
