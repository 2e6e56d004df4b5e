// cohortd: wiring only.
#include <CLI/CLI.hpp>
#include <csignal>
#include <fmt/format.h>
#include <string>
#include <sys/resource.h>

#include "config/configuration.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/daemon/runtime.hpp"
#include "controlplane/daemon/system.hpp"
#include "controlplane/daemon/version.hpp"
#include "dataplane/eal.hpp"
#include "pki/ca.hpp"

namespace {

struct Restore {
  std::string archive;
  std::string password_file;
};

/// Makes the authority's database of its backup, and ends.
cohort::Status restore(cohort::config::Configuration configuration, const Restore& what) {
  using namespace cohort;
  if (!configuration.certificate_authority) {
    return fail(daemon::no_role, "no section certificate_authority");
  }
  const config::DiskFiles files;
  COHORT_TRY(const Bytes archive, files.read(what.archive, 1 << 20));
  COHORT_TRY(Bytes password, files.read(what.password_file, 4096));
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) {
    password.pop_back();
  }
  const Secret secret = Secret::take(std::move(password));
  COHORT_TRY(const auto runtime, daemon::Runtime::create(configuration));
  COHORT_TRY(const auto ca, pki::CertificateAuthority::restore(
                                std::move(configuration.certificate_authority->options),
                                *runtime->world, archive, secret));
  fmt::print("cohortd: restored {}, SHA-256 fingerprint {}\n", ca->certificate().subject(),
             ca->certificate().fingerprint(crypto::Hash::sha256));
  return {};
}

int run(const std::string& path, const Restore& what) {
  cohort::config::Outcome outcome = cohort::config::read_file(path, cohort::config::DiskFiles{});
  for (const auto& problem : outcome.problems) fmt::print(stderr, "{}\n", problem.text());
  if (!outcome.configuration) {
    fmt::print(stderr, "cohortd: not started; correct {} (`cohort config check {}`)\n", path, path);
    return 1;
  }
  // Until the loop hears it: a reload that comes too early must not be the end.
  (void)::signal(SIGHUP, SIG_IGN);
  // Keys must not end in a core file.
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  if (!cohort::daemon::keep_out_of_swap()) {
    fmt::print(stderr,
               "cohortd: warning: memory is not locked, so keys may reach swap; allow it "
               "(LimitMEMLOCK=infinity, ulimit -l unlimited) or run without swap\n");
  }
  if (!what.archive.empty()) {
    const auto restored = restore(std::move(*outcome.configuration), what);
    if (!restored) fmt::print(stderr, "cohortd: not restored: {}\n", restored.error().text());
    return restored ? 0 : 1;
  }
  auto daemon = cohort::daemon::Daemon::start(std::move(*outcome.configuration));
  if (!daemon) {
    fmt::print(stderr, "cohortd: not started: {}\n", daemon.error().text());
    return 1;
  }
  (*daemon)->run();
  daemon->reset();
  cohort::dataplane::leave_eal();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"cohortd: certificate authority, key server and group member of group encryption",
               "cohortd"};
  std::string path;
  app.add_option("FILE", path, "The configuration file")->required();
  Restore what;
  CLI::Option* archive = app.add_option("--restore-ca", what.archive,
                                        "Make the authority's database of this PKCS #12 backup");
  archive->needs(app.add_option("--passphrase-file", what.password_file, "The backup's password")
                     ->needs(archive));
  app.set_version_flag("--version", std::string(cohort::daemon::version_text));
  CLI11_PARSE(app, argc, argv);
  try {
    return run(path, what);
  } catch (const std::exception& error) {
    // Only what start-up may throw: no memory, no event loop.
    fmt::print(stderr, "cohortd: {}\n", error.what());
    return 1;
  }
}
