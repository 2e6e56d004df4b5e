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

void Enrolment::pump() {
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
