#include "controlplane/daemon/cohort/interactive.hpp"

#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <iostream>
#include <termios.h>
#include <unistd.h>

#include "config/problem.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

constexpr int step_ms = 200;
constexpr int wait_steps = 300;  // a minute

/// Yes or no. An empty line is `otherwise`, or asks again where there is none; the end of the
/// input is no.
bool ask_yes(const std::string& question, std::optional<bool> otherwise = std::nullopt) {
  for (;;) {
    fmt::print("{} [{}]: ", question, !otherwise ? "yes/no" : *otherwise ? "yes" : "no");
    std::fflush(stdout);
    std::string line;
    if (!std::getline(std::cin, line)) return false;
    if (line.empty() && otherwise) return *otherwise;
    if (line == "yes" || line == "y") return true;
    if (line == "no" || line == "n") return false;
    fmt::print("% Please answer 'yes' or 'no'.\n");
  }
}

/// A line; an empty one is `proposal`.
std::string ask_text(const std::string& question, const std::string& proposal) {
  fmt::print("{} [{}]: ", question, clean(proposal));
  std::fflush(stdout);
  std::string line;
  if (!std::getline(std::cin, line)) return {};
  return line.empty() ? proposal : line;
}

using Progress = tl::expected<Json, std::string>;

/// Begins what is not under way. `answers`: the operator's for the request, or none.
Progress start(const Client& client, const std::string& trustpoint, const Json& answers) {
  Json arguments{{"trustpoint", trustpoint}};
  arguments.update(answers);
  return client.ask("pki start", arguments);
}

Progress look(const Client& client, const std::string& trustpoint) {
  return client.ask("pki progress", {{"trustpoint", trustpoint}});
}

/// Looks at the progress until `enough` says so, the enrolment fails, or time is over.
Progress wait_for(const Client& client, const std::string& trustpoint, Progress progress,
                  const std::function<bool(const Json&)>& enough) {
  for (int i = 0; i < wait_steps && progress; ++i) {
    if (enough(*progress)) return progress;
    const std::string error = text_of(*progress, "last_error");
    if (!error.empty() && text_of(*progress, "state") == "retry") return tl::unexpected(error);
    pause_ms(step_ms);
    progress = look(client, trustpoint);
  }
  if (!progress) return progress;
  return tl::unexpected(fmt::format("no answer yet; the state is {}, the daemon goes on trying",
                                    text_of(*progress, "state")));
}

bool is_decidable(const Json& progress) {
  return flag_of(progress, "authenticated") || !object_of(progress, "offer").empty();
}

int failed(const std::string& text) {
  std::fflush(stdout);
  fmt::print(stderr, "% {}\n", text);
  return 1;
}

/// The challenge password that an operator chooses; empty for none.
std::string ask_challenge() {
  fmt::print(
      "% Create a challenge password. You need to verbally provide this\n"
      "    password to the CA Administrator in order to revoke your certificate.\n"
      "    For security reasons your password is not saved in the configuration.\n"
      "    Please make a note of it.\n");
  return ask_passphrase("", "Password: ", true).value_or("");
}

/// What the request will ask for by the configuration.
void print_subject(const Json& progress) {
  for (const std::string_view key : {"subject_name", "hostname"}) {
    const std::string text = text_of(progress, key);
    if (!text.empty()) fmt::print("% The subject name in the certificate includes: {}\n", text);
  }
  const Json& open = object_of(progress, "open");
  const std::string serial = text_of(progress, "serial_number");
  if (!serial.empty() && !flag_of(open, "serial_number"))
    fmt::print("% The serial number in the certificate will be: {}\n", serial);
  const std::string address = text_of(progress, "ip_address");
  if (!address.empty() && !flag_of(open, "ip_address"))
    fmt::print("% The IP address in the certificate is {}\n", address);
  if (!flag_of(open, "challenge"))
    fmt::print("% The challenge password is that of the configuration.\n");
}

/// The machine's serial number, where its firmware tells one to us.
std::string machine_serial() {
  std::ifstream file("/sys/class/dmi/id/product_serial");
  std::string line;
  std::getline(file, line);
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

/// Asks what the configuration leaves open; nothing when the operator does not want to go on.
std::optional<Json> ask_for_request(const Json& progress) {
  fmt::print("% Start certificate enrollment ..\n");
  const Json& open = object_of(progress, "open");
  Json answers{{"challenge", ""}, {"serial_number", ""}, {"ip_address", ""}};
  if (flag_of(open, "challenge")) answers["challenge"] = ask_challenge();
  print_subject(progress);
  if (flag_of(open, "serial_number") &&
      ask_yes("% Include the router serial number in the subject name?"))
    answers["serial_number"] = ask_text("Serial number", machine_serial());
  if (flag_of(open, "ip_address") && ask_yes("% Include an IP address in the subject name?", false))
    answers["ip_address"] = ask_text("IP address", text_of(progress, "own_address"));
  if (ask_yes("Request certificate from CA?")) return answers;
  fmt::print("% Nothing was sent.\n");
  return std::nullopt;
}

/// 0 when the authority is accepted in the end. `enrolling`: a request follows at once, so its
/// questions come before the answer about the authority is sent.
int authenticate(const Client& client, const std::string& trustpoint, const Json& progress,
                 std::optional<bool> assume, bool enrolling) {
  const Json& offer = object_of(progress, "offer");
  fmt::print("Certificate has the following attributes:\n");
  fmt::print("       Subject: {}\n", text_of(offer, "subject"));
  fmt::print("       Fingerprint MD5: {}\n", fingerprint_text(text_of(offer, "fingerprint_md5")));
  fmt::print("       Fingerprint SHA1: {}\n", fingerprint_text(text_of(offer, "fingerprint_sha1")));
  fmt::print("       Fingerprint SHA256: {}\n\n",
             fingerprint_text(text_of(offer, "fingerprint_sha256")));
  const bool accept = assume ? *assume : ask_yes("% Do you accept this certificate?");
  Json decision{{"trustpoint", trustpoint},
                {"accept", accept},
                {"fingerprint_sha256", text_of(offer, "fingerprint_sha256")}};
  if (accept && enrolling && !assume) {
    const auto answers = ask_for_request(progress);
    if (!answers) return 1;
    decision.update(*answers);
  }
  const auto done = client.ask("pki decide", decision);
  if (!done) return failed(done.error());
  fmt::print("{}\n", accept ? "Trustpoint CA certificate accepted."
                            : "% The CA certificate was not accepted.");
  return accept ? 0 : 1;
}

/// Before a request is made once more, with the authority accepted already: asks again, since an
/// answer may be what it failed for. Nothing when the operator does not want to go on.
std::optional<Json> ask_again(const Client& client, const std::string& trustpoint) {
  const auto before = look(client, trustpoint);
  if (!before || !flag_of(*before, "authenticated") || flag_of(*before, "enrolled") ||
      text_of(*before, "state") != "retry")
    return Json::object();
  fmt::print("% The last request failed: {}\n", text_of(*before, "last_error"));
  return ask_for_request(*before);
}

}  // namespace

int pki_authenticate(const Client& client, const std::string& trustpoint,
                     std::optional<bool> assume) {
  const auto progress =
      wait_for(client, trustpoint, start(client, trustpoint, Json::object()), is_decidable);
  if (!progress) return failed(progress.error());
  if (flag_of(*progress, "authenticated")) {
    fmt::print("% The certificate authority of {} is already accepted.\n", clean(trustpoint));
    return 0;
  }
  return authenticate(client, trustpoint, *progress, assume, false);
}

int pki_enroll(const Client& client, const std::string& trustpoint, std::optional<bool> assume) {
  const auto answers = assume ? Json::object() : ask_again(client, trustpoint);
  if (!answers) return 1;
  auto progress = wait_for(client, trustpoint, start(client, trustpoint, *answers), is_decidable);
  if (!progress) return failed(progress.error());
  if (flag_of(*progress, "enrolled")) {
    fmt::print("% {} has a certificate already; `cohort crypto pki renew` asks for a new one.\n",
               clean(trustpoint));
    return 0;
  }
  if (!flag_of(*progress, "authenticated")) {
    fmt::print(
        "% You must authenticate the Certificate Authority before\n you can enroll with it.\n"
        "% Attempting authentication first.\n");
    if (authenticate(client, trustpoint, *progress, assume, true) != 0) return 1;
  }
  fmt::print("% Certificate request sent to Certificate Authority\n");
  progress = wait_for(client, trustpoint, look(client, trustpoint), [](const Json& now) {
    const std::string state = text_of(now, "state");
    return flag_of(now, "enrolled") || state == "pending" || state == "poll";
  });
  if (!progress) return failed(progress.error());
  if (!flag_of(*progress, "enrolled")) {
    fmt::print("% The request waits for the authority's operator; the daemon goes on asking.\n");
    return 0;
  }
  fmt::print(
      "% Certificate received.\n% The 'cohort show crypto pki certificates verbose {}' command "
      "shows the fingerprint.\n",
      clean(trustpoint));
  return 0;
}

std::optional<std::string> ask_passphrase(const std::string& file, const std::string& prompt,
                                          bool confirm) {
  if (!file.empty()) {
    auto content = config::DiskFiles{}.read(file, 4096);
    if (!content) {
      fmt::print(stderr, "% {}: {}\n", clean(file), content.error().text());
      return std::nullopt;
    }
    std::string out(content->begin(), content->end());
    zeroize(*content);
    while (!out.empty() && (out.back() == '\n' || out.back() == '\r')) out.pop_back();
    return out;
  }
  const auto read_once = [](const std::string& question) -> std::optional<std::string> {
    fmt::print("{}", question);
    std::fflush(stdout);
    termios before{};
    const bool terminal = ::tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
      termios silent = before;
      silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
      (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    std::string line;
    const bool got = static_cast<bool>(std::getline(std::cin, line));
    if (terminal) {
      (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
      fmt::print("\n");
    }
    if (got) return line;
    fmt::print(stderr, "\n% Nothing was entered.\n");
    return std::nullopt;
  };
  auto first = read_once(prompt);
  if (!first || !confirm) return first;
  auto second = read_once("Re-enter password: ");
  if (second == first) return first;
  fmt::print(stderr, "% The two differ.\n");
  return std::nullopt;
}

}  // namespace cohort::daemon
