#pragma once

#include "controlplane/daemon/admin_protocol.hpp"
#include "controlplane/daemon/admin_server.hpp"

namespace cohort::daemon {

class Daemon;

/// Answers at once: what it returns is the data.
using Command = Result<Json> (*)(Daemon&, const Arguments&);
/// Answers later.
using SlowCommand = void (*)(Daemon&, const Arguments&, AdminServer::Answer);

struct CommandRow {
  std::string_view name;
  Command command;
  SlowCommand slow;  ///< instead of `command`
};

/// Finds the command and runs it; unknown_command otherwise.
void run_command(Daemon& daemon, const AdminRequest& request, AdminServer::Answer answer);

// The commands by topic, each in its file.
[[nodiscard]] std::span<const CommandRow> system_commands();
[[nodiscard]] std::span<const CommandRow> group_commands();
[[nodiscard]] std::span<const CommandRow> coop_commands();
[[nodiscard]] std::span<const CommandRow> pki_commands();
[[nodiscard]] std::span<const CommandRow> key_commands();

// How values look in answers.
[[nodiscard]] Json seconds_json(std::chrono::seconds value);
[[nodiscard]] Json texts_json(const std::vector<std::string>& texts);

}  // namespace cohort::daemon
