#include "controlplane/daemon/enrolment.hpp"

#include <fmt/format.h>
#include <utility>

namespace cohort::daemon {

Enrolment::Enrolment(Runtime& runtime, pki::Trustpoint& trustpoint, std::function<void()> changed)
    : runtime_(runtime),
      trustpoint_(trustpoint),
      changed_(std::move(changed)),
      client_(*runtime.world, trustpoint, *runtime.keys) {}

void Enrolment::start() {
  runtime_.log.debug("crypto pki api", [&] { return "start enrolment of " + name(); });
  client_.start(runtime_.clock.now());
  pump();
}

void Enrolment::on_timer(TimePoint now) {
  client_.on_timer(now);
  pump();
}

Status Enrolment::decide(bool accept) {
  const Status out = client_.decide(runtime_.clock.now(), accept);
  pump();
  return out;
}

Status Enrolment::renew() {
  const Status out = client_.renew(runtime_.clock.now());
  pump();
  return out;
}

Status Enrolment::refresh_crl() {
  const Status out = client_.refresh_crl(runtime_.clock.now());
  pump();
  return out;
}

/// A key of many bits takes seconds: a thread makes it.
void Enrolment::make_key() {
  const auto wish = client_.take_key_wish();
  if (!wish) return;
  runtime_.log.debug("crypto pki api",
                     [&] { return name() + ": make key " + wish->options.label; });
  runtime_.jobs->run([this, wish = *wish, stop = &runtime_.jobs->ending()]() -> EventLoop::Work {
    auto made = std::make_shared<Result<crypto::PrivateKey>>(
        pki::generate_key(wish.options.type, wish.options.bits, stop));
    return [this, id = wish.id, made] {
      client_.on_key(runtime_.clock.now(), id, std::move(*made));
      pump();
    };
  });
}

void Enrolment::pump() {
  make_key();
  while (auto out = client_.take_request()) {
    const pki::HttpRequest& request = out->request;
    runtime_.log.debug("crypto pki messages", [&] {
      return fmt::format("{}: {} {} ({} octets)", name(),
                         request.method == pki::HttpMethod::post ? "POST" : "GET",
                         request.url.substr(0, 120), request.body.size());
    });
    runtime_.http->perform(request, trustpoint_.options().http_timeout,
                           [this, id = out->id](Result<pki::HttpResponse> response) {
                             runtime_.log.debug("crypto pki callback", [&] {
                               return response
                                          ? fmt::format("{}: answer {}, {} octets", name(),
                                                        response->status, response->body.size())
                                          : fmt::format("{}: {}", name(), response.error().text());
                             });
                             client_.on_response(runtime_.clock.now(), id, std::move(response));
                             pump();
                           });
  }
  changed_();
}

}  // namespace cohort::daemon
