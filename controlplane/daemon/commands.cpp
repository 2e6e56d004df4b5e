#include "controlplane/daemon/commands.hpp"

#include <utility>

#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {

Json seconds_json(std::chrono::seconds value) {
  return value.count();
}

Json texts_json(const std::vector<std::string>& texts) {
  Json out = Json::array();
  for (const std::string& text : texts) out.push_back(text);
  return out;
}

void run_command(Daemon& daemon, const AdminRequest& request, AdminServer::Answer answer) {
  for (const auto rows :
       {system_commands(), group_commands(), coop_commands(), pki_commands(), key_commands()}) {
    for (const CommandRow& row : rows) {
      if (row.name != request.command) continue;
      const Arguments arguments(request.arguments);
      if (row.slow != nullptr) {
        row.slow(daemon, arguments, std::move(answer));
      } else {
        answer(row.command(daemon, arguments));
      }
      return;
    }
  }
  answer(fail(unknown_command, request.command.substr(0, 64)));
}

}  // namespace cohort::daemon
