#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/daemon/runtime.hpp"
#include "pki/scep_client.hpp"

namespace cohort::daemon {

/// One trustpoint kept enrolled: drives its ScepClient with the clock and over HTTP.
class Enrolment {
 public:
  /// `changed` is called after each step, so that the next deadline is looked at anew.
  Enrolment(Runtime& runtime, pki::Trustpoint& trustpoint, std::function<void()> changed);

  void start();
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const { return client_.next_deadline(); }
  Status decide(bool accept);
  Status renew();
  Status refresh_crl();
  [[nodiscard]] const pki::ScepClient& client() const { return client_; }
  [[nodiscard]] const std::string& name() const { return trustpoint_.name(); }
  [[nodiscard]] pki::Trustpoint& trustpoint() { return trustpoint_; }

 private:
  void pump();
  void make_key();

  Runtime& runtime_;
  pki::Trustpoint& trustpoint_;
  std::function<void()> changed_;
  pki::ScepClient client_;
};

}  // namespace cohort::daemon
