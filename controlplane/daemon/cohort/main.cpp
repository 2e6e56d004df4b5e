// cohort: the operator's command. Arguments here, questions and text elsewhere.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "config/problem.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/cohort/client.hpp"
#include "controlplane/daemon/cohort/config_command.hpp"
#include "controlplane/daemon/cohort/interactive.hpp"
#include "controlplane/daemon/cohort/render.hpp"
#include "controlplane/daemon/cohort/usage.hpp"
#include "controlplane/daemon/version.hpp"

namespace cohort::daemon {
namespace {

/// What the options say, and what the chosen command made of it.
struct Program {
  std::string socket = "/run/cohort/cohort.sock";
  bool json = false;
  bool yes = false;
  int status = 0;
  std::list<std::string> words;  ///< storage of the commands' arguments
  std::list<std::vector<std::string>> lists;
  std::list<bool> flags;
  std::list<std::uint64_t> numbers;
};

using Render = std::function<std::string(const Json&)>;

/// Asks and prints; `render` makes the text.
void ask(Program& program, const std::string& command, const Json& arguments,
         const Render& render) {
  const auto answer = Client(program.socket).ask(command, arguments);
  if (!answer) {
    fmt::print(stderr, "cohort: {}\n", clean(answer.error()));
    program.status = 1;
    return;
  }
  if (program.json) {
    fmt::print("{}\n", answer->dump(2, ' ', true, Json::error_handler_t::replace));
  } else {
    fmt::print("{}", render(*answer));
  }
}

/// Writes a secret to a new file that only its owner can read, or to standard output for "-".
bool write_private(const std::string& path, std::string_view content) {
  if (path == "-") {
    fmt::print("{}", content);
    return true;
  }
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  bool good = fd >= 0 && ::fchmod(fd, 0600) == 0;
  while (good && !content.empty()) {
    const ssize_t done = ::write(fd, content.data(), content.size());
    good = done > 0;
    if (good) content.remove_prefix(static_cast<std::size_t>(done));
  }
  if (fd >= 0) good = ::close(fd) == 0 && good;
  if (!good) fmt::print(stderr, "cohort: can't write {}\n", clean(path));
  return good;
}

Render done_text(std::string text) {
  return [text = std::move(text)](const Json&) { return text + "\n"; };
}

Json optional_argument(const std::string& name, const std::string& value) {
  return value.empty() ? Json::object() : Json{{name, value}};
}

std::string& word(Program& program) {
  return program.words.emplace_back();
}

/// `show X [NAME]` as one line each.
void add_show(Program& program, CLI::App* parent, const std::string& name,
              const std::string& description, const std::string& command,
              const std::string& argument, Render render) {
  CLI::App* app = parent->add_subcommand(name, description);
  std::string& value = word(program);
  if (!argument.empty()) app->add_option("NAME", value, "Only this " + argument);
  app->callback([&program, &value, command, argument, render] {
    ask(program, command, optional_argument(argument, value), render);
  });
}

/// `show crypto gkm ks coop [NAME] [version]`.
void add_show_coop(Program& program, CLI::App* ks) {
  CLI::App* coop = ks->add_subcommand("coop", "Co-operating key servers");
  std::string& first = word(program);
  std::string& second = word(program);
  coop->add_option("NAME", first, "Only this group, or the word version");
  coop->add_option("VERSION", second, "The word version, for the protocol versions");
  coop->callback([&program, &first, &second] {
    const bool version = first == "version" || second == "version";
    const std::string group = first == "version" ? "" : first;
    ask(program, "show crypto gkm ks coop", optional_argument("group", group),
        version ? render_ks_coop_version : render_ks_coop);
  });
}

/// `show crypto gkm group [NAME]` at a member; `… group NAME ks coop [version]` at a key server.
void add_show_group(Program& program, CLI::App* gkm) {
  CLI::App* app = gkm->add_subcommand("group", "This member's groups");
  std::string& group = word(program);
  std::vector<std::string>& rest = program.lists.emplace_back();
  app->add_option("NAME", group, "Only this group");
  app->add_option("KS-COOP", rest, "The words ks coop, or ks coop version, at a key server");
  app->callback([&program, &group, &rest] {
    const Json arguments = optional_argument("group", group);
    const std::string words = fmt::format("{}", fmt::join(rest, " "));
    if (words.empty()) {
      ask(program, "show crypto gkm group", arguments, render_gkm_group);
    } else if (words == "ks coop" || words == "ks coop version") {
      ask(program, "show crypto gkm ks coop", arguments,
          words == "ks coop" ? render_ks_coop : render_ks_coop_version);
    } else {
      throw CLI::ExtrasError({words});
    }
  });
}

void add_show_commands(Program& program, CLI::App& app) {
  CLI::App* show = app.add_subcommand("show", "Look at live state")->require_subcommand(1);
  add_show(program, show, "version", "The daemon", "show version", "", render_version);
  add_show(program, show, "refusals", "Refused inputs by reason", "show refusals", "",
           render_refusals);
  CLI::App* crypto = show->add_subcommand("crypto", "Keys and groups")->require_subcommand(1);
  CLI::App* gkm = crypto->add_subcommand("gkm", "Groups")->alias("gdoi")->require_subcommand(1);
  add_show_group(program, gkm);
  CLI::App* ks = gkm->add_subcommand("ks", "This key server's groups")->require_subcommand(1);
  add_show(program, ks, "members", "Registered members", "show crypto gkm ks members", "group",
           render_ks_members);
  add_show(program, ks, "policy", "Policy and keys", "show crypto gkm ks policy", "group",
           render_ks_policy);
  add_show(program, ks, "rekey", "Rekeys", "show crypto gkm ks rekey", "group", render_ks_rekey);
  add_show_coop(program, ks);
  CLI::App* isakmp = crypto->add_subcommand("isakmp", "Phase 1")->require_subcommand(1);
  add_show(program, isakmp, "sa", "Established SAs", "show crypto isakmp sa", "", render_isakmp_sa);
  add_show(program, crypto, "key", "Key pairs", "show crypto key", "", render_keys);

  CLI::App* pki = crypto->add_subcommand("pki", "Certificates")->require_subcommand(1);
  add_show(program, pki, "server", "The certificate authority", "show crypto pki server", "",
           render_pki_server);
  add_show(program, pki, "trustpoints", "Trustpoints", "show crypto pki trustpoints", "trustpoint",
           render_trustpoints);
  CLI::App* certificates = pki->add_subcommand("certificates", "Certificates");
  std::string& first = word(program);
  std::string& second = word(program);
  certificates->add_option("VERBOSE", first, "The word verbose, for all fields");
  certificates->add_option("TRUSTPOINT", second, "Only this trustpoint");
  certificates->callback([&program, &first, &second] {
    const bool verbose = first == "verbose";
    ask(program, "show crypto pki certificates",
        optional_argument("trustpoint", verbose ? second : first),
        [verbose](const Json& answer) { return render_certificates(answer, verbose); });
  });

  CLI::App* ip = show->add_subcommand("ip", "Traffic policy")->require_subcommand(1);
  add_show(program, ip, "access-lists", "Access lists", "show ip access-lists", "name",
           render_access_lists);
  CLI::App* dataplane = show->add_subcommand("dataplane", "Packets")->require_subcommand(1);
  add_show(program, dataplane, "counters", "Counters", "show dataplane counters", "",
           render_dataplane_counters);
}

std::optional<bool> assumed(const Program& program) {
  return program.yes ? std::optional(true) : std::nullopt;
}

/// A whole file, or nothing after a word about why.
std::optional<std::string> read_input(const std::string& path) {
  const auto content = config::DiskFiles{}.read(path, 48 * 1024);
  if (content) return std::string(content->begin(), content->end());
  fmt::print(stderr, "cohort: {}: {}\n", clean(path), content.error().text());
  return std::nullopt;
}

/// The content of a file that was named at all; false after a word about why not.
bool add_file(Json& arguments, const char* key, const std::string& path) {
  if (path.empty()) return true;
  const auto content = read_input(path);
  if (content) arguments[key] = *content;
  return content.has_value();
}

void add_pki_by_hand(Program& program, CLI::App* pki) {
  CLI::App* request = pki->add_subcommand("request", "Print a PKCS #10 request for any authority");
  std::string& trustpoint = word(program);
  request->add_option("TRUSTPOINT", trustpoint, "Its name")->required();
  request->callback([&] {
    ask(program, "pki request", {{"trustpoint", trustpoint}},
        [](const Json& answer) { return raw_text_of(answer, "pem"); });
  });
  CLI::App* import = pki->add_subcommand("import", "Take certificates in PEM from any authority");
  std::string& ca = word(program);
  std::string& own = word(program);
  import->add_option("TRUSTPOINT", trustpoint, "Its name")->required();
  import->add_option("--ca", ca, "The authority's certificate, with intermediates");
  import->add_option("--certificate", own, "Ours, then any certificates above it");
  import->callback([&] {
    Json arguments{{"trustpoint", trustpoint}};
  if (!add_file(arguments, "ca", ca) || !add_file(arguments, "certificate", own)) {
    program.status = 1;
    return;
  }
  ask(program, "pki import", arguments, [](const Json& answer) {
    const std::string warning = text_of(answer, "warning");
    return warning.empty() ? "% Imported.\n"
                           : "% Imported, but peers would refuse it now: " + warning + "\n";
  });
});
}  // namespace

void add_pki_commands(Program& program, CLI::App* crypto) {
  CLI::App* pki = crypto->add_subcommand("pki", "Trustpoints")->require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& description,
                       std::function<int(const Client&, const std::string&)> run) {
    CLI::App* command = pki->add_subcommand(name, description);
    std::string& trustpoint = word(program);
    command->add_option("TRUSTPOINT", trustpoint, "Its name")->required();
    command->add_flag("--yes", program.yes, "Accept the authority's certificate unseen");
    command->callback(
        [&program, &trustpoint, run] { program.status = run(Client(program.socket), trustpoint); });
  };
  add("authenticate", "Look at the authority's certificate and accept it or not",
      [&program](const Client& client, const std::string& trustpoint) {
        return pki_authenticate(client, trustpoint, assumed(program));
      });
  add("enroll", "Ask for a certificate",
      [&program](const Client& client, const std::string& trustpoint) {
        return pki_enroll(client, trustpoint, assumed(program));
      });
  add_pki_by_hand(program, pki);
  const auto add_short = [&](const std::string& name, const std::string& description,
                             const std::string& command, const std::string& done) {
    CLI::App* app = pki->add_subcommand(name, description);
    std::string& trustpoint = word(program);
    app->add_option("TRUSTPOINT", trustpoint, "Its name")->required();
    app->callback([&program, &trustpoint, command, done] {
      ask(program, command, {{"trustpoint", trustpoint}}, done_text(done));
    });
  };
  add_short("renew", "Ask for a new certificate now", "pki renew", "% Renewal started");
  add_short("crl", "Fetch the revocation list now", "pki crl", "% CRL request sent");
}

void add_key_generate(Program& program, CLI::App* key) {
  CLI::App* generate = key->add_subcommand("generate", "Make a key pair");
  std::string& type = word(program);
  std::string& label = word(program);
  type = "rsa";
  std::uint64_t& modulus = program.numbers.emplace_back(3072);
  bool& exportable = program.flags.emplace_back(false);
  generate->add_option("TYPE", type, "rsa, ecdsa-p256, ecdsa-p384 or ecdsa-p521");
  generate->add_option("--modulus", modulus, "RSA: bits, 2048 to 8192 (from 1024 with allow_weak)");
  generate->add_option("--label", label, "Its name")->required();
  generate->add_flag("--exportable", exportable, "The private key may be exported");
  generate->callback([&] {
    fmt::print("The name for the keys will be: {}\n", clean(label));
    if (type == "rsa") {
      fmt::print(
          "% The key modulus size is {} bits\n% Generating {} bit RSA keys, keys will be {}"
          "exportable...\n",
          modulus, modulus, exportable ? "" : "non-");
    }
    std::fflush(stdout);
    ask(program, "crypto key generate",
        {{"type", type}, {"label", label}, {"modulus", modulus}, {"exportable", exportable}},
        done_text("[OK]"));
  });
}

void add_key_transport(Program& program, CLI::App* key) {
  CLI::App* out = key->add_subcommand("export", "Write an exportable key pair, encrypted");
  std::string& out_label = word(program);
  std::string& out_file = word(program);
  std::string& out_form = word(program);
  std::string& out_passphrase = word(program);
  out_file = "-";
  out_form = "pkcs8";
  out->add_option("LABEL", out_label, "Its name")->required();
  out->add_option("--file", out_file, "Where to; - is standard output");
  out->add_option("--form", out_form, "pkcs8, or 3des for old peers");
  out->add_option("--passphrase-file", out_passphrase, "Instead of asking");
  out->callback([&] {
    auto passphrase = ask_passphrase(out_passphrase, "Password: ", true);
    if (!passphrase) {
      program.status = 1;
      return;
    }
    const auto answer =
        Client(program.socket)
            .ask("crypto key export",
                 {{"label", out_label}, {"passphrase", *passphrase}, {"form", out_form}});
    zeroize(*passphrase);
    if (!answer) fmt::print(stderr, "cohort: {}\n", clean(answer.error()));
    program.status = answer && write_private(out_file, raw_text_of(*answer, "pem")) ? 0 : 1;
  });

  CLI::App* in = key->add_subcommand("import", "Read a key pair in PEM");
  std::string& in_label = word(program);
  std::string& in_file = word(program);
  std::string& in_passphrase = word(program);
  bool& exportable = program.flags.emplace_back(false);
  in->add_option("LABEL", in_label, "Its name")->required();
  in->add_option("--file", in_file, "Where from")->required()->check(CLI::ExistingFile);
  in->add_option("--passphrase-file", in_passphrase, "Instead of asking");
  in->add_flag("--exportable", exportable, "The private key may be exported again");
  in->callback([&] {
    auto pem = read_input(in_file);
    auto passphrase = ask_passphrase(in_passphrase, "Password: ", false);
    if (!pem || !passphrase) {
      program.status = 1;
      return;
    }
    ask(program, "crypto key import",
        {{"label", in_label},
         {"pem", *pem},
         {"passphrase", *passphrase},
         {"exportable", exportable}},
        done_text("% Key pair import succeeded."));
    zeroize(*pem);
    zeroize(*passphrase);
  });
}

void add_crypto_commands(Program& program, CLI::App& app) {
  CLI::App* crypto = app.add_subcommand("crypto", "Keys and certificates")->require_subcommand(1);
  add_pki_commands(program, crypto);
  CLI::App* key = crypto->add_subcommand("key", "Key pairs")->require_subcommand(1);
  add_key_generate(program, key);
  add_key_transport(program, key);
  CLI::App* remove = key->add_subcommand("remove", "Forget a key pair");
  std::string& label = word(program);
  bool& in_use = program.flags.emplace_back(false);
  remove->add_option("LABEL", label, "Its name")->required();
  remove->add_flag("--in-use", in_use, "Even if a trustpoint or a group needs it");
  remove->callback([&program, &label, &in_use] {
    ask(program, "crypto key remove", {{"label", label}, {"in_use", in_use}},
        done_text("Removed."));
  });
}

void add_backup(Program& program, CLI::App* server) {
  CLI::App* backup = server->add_subcommand("backup", "Write the authority's key as PKCS #12");
  std::string& file = word(program);
  std::string& passphrase_file = word(program);
  backup->add_option("FILE", file, "Where to")->required();
  backup->add_option("--passphrase-file", passphrase_file, "Instead of asking");
  backup->callback([&] {
    auto password = ask_passphrase(passphrase_file, "Password: ", true);
    if (!password) {
      program.status = 1;
      return;
    }
    const auto answer = Client(program.socket).ask("pki server backup", {{"password", *password}});
    zeroize(*password);
    const auto octets = answer ? from_hex(raw_text_of(*answer, "pkcs12_hex")) : fail(no_daemon);
    if (!answer) fmt::print(stderr, "cohort: {}\n", clean(answer.error()));
    program.status = octets && write_private(file, {reinterpret_cast<const char*>(octets->data()),
                                                    octets->size()})
                         ? 0
                         : 1;
  });
}

void add_server_commands(Program& program, CLI::App& app) {
  CLI::App* pki = app.add_subcommand("pki", "The certificate authority")->require_subcommand(1);
  CLI::App* server = pki->add_subcommand("server", "Its operation")->require_subcommand(1);
  add_show(program, server, "requests", "Requests", "pki server requests", "", render_requests);
  add_show(program, server, "certificates", "Issued certificates", "pki server certificates", "",
           render_issued);
  CLI::App* grant = server->add_subcommand("grant", "Grant a request");
  std::uint64_t& granted = program.numbers.emplace_back(0);
  grant->add_option("REQUEST", granted, "Its number")->required();
  grant->callback([&program, &granted] {
    ask(program, "pki server grant", {{"request", granted}}, [](const Json& answer) {
      return fmt::format("Granted: {} serial {}\n", text_of(answer, "subject"),
                         text_of(answer, "serial"));
    });
  });
  CLI::App* reject = server->add_subcommand("reject", "Reject a request");
  std::uint64_t& rejected = program.numbers.emplace_back(0);
  std::string& why = word(program);
  reject->add_option("REQUEST", rejected, "Its number")->required();
  reject->add_option("--why", why, "For the record");
  reject->callback([&program, &rejected, &why] {
    Json arguments{{"request", rejected}};
    if (!why.empty()) arguments["why"] = why;
    ask(program, "pki server reject", arguments, done_text("Rejected."));
  });
  CLI::App* forget =
      server->add_subcommand("forget", "Forget a rejection, so that the request may come again");
  std::uint64_t& forgotten = program.numbers.emplace_back(0);
  forget->add_option("REQUEST", forgotten, "Its number")->required();
  forget->callback([&program, &forgotten] {
    ask(program, "pki server forget", {{"request", forgotten}}, done_text("Forgotten."));
  });
  CLI::App* revoke = server->add_subcommand("revoke", "Revoke a certificate");
  std::string& serial = word(program);
  std::string& reason = word(program);
  reason = "unspecified";
  revoke->add_option("SERIAL", serial, "Hexadecimal")->required();
  revoke->add_option("--reason", reason, "unspecified, key-compromise, superseded, …");
  revoke->callback([&program, &serial, &reason] {
    ask(program, "pki server revoke", {{"serial", serial}, {"reason", reason}},
        done_text("Revoked."));
  });
  add_backup(program, server);
}

void add_ks_members(Program& program, CLI::App* ks) {
  CLI::App* members = ks->add_subcommand("members", "Members")->require_subcommand(1);
  std::string& group = word(program);
  std::uint64_t& member = program.numbers.emplace_back(0);
  std::string& identity = word(program);
  CLI::App* remove = members->add_subcommand("remove", "Remove a member and change all keys");
  remove->add_option("GROUP", group, "Its name")->required();
  remove->add_option("MEMBER", member, "Its number (show crypto gkm ks members)")->required();
  remove->callback([&] {
    ask(program, "ks members remove", {{"group", group}, {"member", member}},
        done_text("Removed; every other member registers again."));
  });
  CLI::App* admit = members->add_subcommand("admit", "Let a removed identity come back");
  admit->add_option("GROUP", group, "Its name")->required();
  admit->add_option("IDENTITY", identity, "As shown")->required();
  admit->callback([&] {
    ask(program, "ks members admit", {{"group", group}, {"identity", identity}},
        done_text("Admitted."));
  });
  CLI::App* clear = members->add_subcommand("clear", "Delete all keys; everybody registers again");
  clear->add_option("GROUP", group, "Its name")->required();
  clear->callback([&] {
    ask(program, "ks members clear", {{"group", group}}, done_text("Cleared."));
  });
}

void add_coop_commands(Program& program, CLI::App& app) {
  CLI::App* coop = app.add_subcommand("coop", "Co-operating key servers")->require_subcommand(1);
  std::string& group = word(program);
  CLI::App* elect = coop->add_subcommand("elect", "Elect the primary anew, by rank");
  elect->add_option("GROUP", group, "Its name")->required();
  bool& lead = program.flags.emplace_back(false);
  elect->add_flag("--lead-when-different", lead,
                  "This key server's policy is the right one though it differs from the primary's");
  elect->callback([&program, &group, &lead] {
    ask(program, "coop elect", {{"group", group}, {"lead_when_different", lead}},
        done_text("Election started."));
  });
  CLI::App* compromise = coop->add_subcommand(
      "compromise", "Somebody may know the keys: begin fresh ones; every member registers again");
  compromise->add_option("GROUP", group, "Its name")->required();
  compromise->callback([&program, &group] {
    ask(program, "coop compromise", {{"group", group}}, done_text("Fresh keys begun."));
  });
}

void add_group_commands(Program& program, CLI::App& app) {
  CLI::App* ks = app.add_subcommand("ks", "The key server")->require_subcommand(1);
  CLI::App* rekey = ks->add_subcommand("rekey", "Replace the group's keys now");
  std::string& group = word(program);
  bool& kek = program.flags.emplace_back(false);
  rekey->add_option("GROUP", group, "Its name")->required();
  rekey->add_flag("--kek", kek, "The key-encryption key too");
  rekey->callback([&program, &group, &kek] {
    ask(program, "ks rekey", {{"group", group}, {"kek", kek}}, done_text("Rekey started."));
  });
  add_ks_members(program, ks);

  CLI::App* gm = app.add_subcommand("gm", "The group member")->require_subcommand(1);
  CLI::App* again = gm->add_subcommand("register", "Register again now");
  std::string& name = word(program);
  again->add_option("GROUP", name, "Its name")->required();
  again->callback([&program, &name] {
    ask(program, "gm register", {{"group", name}}, done_text("Registration started."));
  });
  CLI::App* keys = gm->add_subcommand("export-lab-keys",
                                      "LABORATORY ONLY: write the traffic keys for Wireshark");
  std::string& file = word(program);
  file = "-";
  keys->add_option("FILE", file, "An esp_sa table; - is standard output");
  keys->callback([&program, &file] {
    const auto answer = Client(program.socket).ask("gm export-lab-keys");
    if (!answer) fmt::print(stderr, "cohort: {}\n", clean(answer.error()));
    if (answer) {
      fmt::print(stderr,
                 "cohort: WARNING: these keys decrypt the group's traffic. Laboratory only!\n");
    }
    program.status = answer && write_private(file, raw_text_of(*answer, "esp_sa")) ? 0 : 1;
  });
}

void add_system_commands(Program& program, CLI::App& app) {
  CLI::App* debug = app.add_subcommand("debug", "Trace while running")->require_subcommand(1);
  add_show(program, debug, "list", "The categories", "debug list", "", render_debug);
  for (const bool on : {true, false}) {
    CLI::App* set = debug->add_subcommand(on ? "on" : "off", "Switch a category");
    std::vector<std::string>& words = program.lists.emplace_back();
    set->add_option("CATEGORY", words, "As listed, or all")->required();
    set->callback([&program, &words, on] {
      ask(program, "debug set",
          {{"category", fmt::format("{}", fmt::join(words, " "))}, {"on", on}},
          [on](const Json& answer) {
            return fmt::format("{} debugging is {}\n", text_of(answer, "category"),
                               on ? "on" : "off");
          });
    });
  }
  app.add_subcommand("reload", "Read the configuration file again")->callback([&program] {
    ask(program, "reload", Json::object(), done_text("Reloaded; see the log."));
  });
  app.add_subcommand("doctor", "What is wrong or costs speed")->callback([&program] {
    ask(program, "doctor", Json::object(), render_doctor);
  });
}

void add_config_commands(Program& program, CLI::App& app) {
  CLI::App* config = app.add_subcommand("config", "Configuration files")->require_subcommand(1);
  CLI::App* check = config->add_subcommand("check", "Report every problem of a file");
  std::string& path = word(program);
  check->add_option("FILE", path, "The configuration file")->required();
  check->callback([&program, &path] { program.status = config_check(path, program.json); });
  config->add_subcommand("reference", "Print the reference of all keys")->callback([&program] {
    program.status = config_reference();
  });
}

}  // namespace cohort::daemon
}  // namespace cohort::daemon

int main(int argc, char** argv) {
  using namespace cohort::daemon;
  Program program;
  if (const char* socket = std::getenv("COHORT_SOCKET")) program.socket = socket;
  CLI::App app{"cohort: look at and operate a cohortd", "cohort"};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--socket", program.socket, "The daemon's socket (or COHORT_SOCKET)");
  app.add_flag("--json", program.json, "Print JSON");
  app.set_version_flag("--version", std::string(version_text));
  add_show_commands(program, app);
  add_crypto_commands(program, app);
  add_server_commands(program, app);
  add_group_commands(program, app);
  add_coop_commands(program, app);
  add_system_commands(program, app);
  add_config_commands(program, app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "{}\n", usage_error(app, error));
    return 1;
  }
  return program.status;
}
