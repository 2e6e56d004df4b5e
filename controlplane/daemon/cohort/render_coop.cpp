// Co-operating key servers, as operators of such systems know the text.
#include <fmt/format.h>
#include <iterator>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

using Out = std::back_insert_iterator<std::string>;

std::string decimal(const Json& object, std::string_view key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number()) return "-";
  return fmt::format("{:.6g}", found->get<double>());
}

void render_timers(Out out, const Json& group) {
  if (text_of(group, "role") == "Primary") {
    fmt::format_to(out, "        Primary Timers:\n");
    fmt::format_to(out, "                Primary Refresh Policy Time: {}\n",
                   decimal(group, "refresh_policy_time_s"));
    fmt::format_to(out, "                Remaining Time: {}\n",
                   decimal(group, "refresh_remaining_s"));
  } else {
    fmt::format_to(out, "        Secondary Timers:\n");
    fmt::format_to(out, "                Sec Primary Periodic Time: {}\n",
                   decimal(group, "periodic_time_s"));
    fmt::format_to(out, "                Remaining Time: {}, Retries: {}\n",
                   decimal(group, "periodic_remaining_s"), number_of(group, "retries"));
    fmt::format_to(out, "                Invalid ANN PST recvd: {}\n",
                   number_of(group, "invalid_pseudotimes"));
    fmt::format_to(out, "                New GM Temporary Blocking Enforced?: {}\n",
                   flag_of(group, "members_blocked") ? "Yes" : "No");
  }
  fmt::format_to(out, "                Per-user timer remaining time: {}\n",
                 number_of(group, "per_user_remaining_s"));
  fmt::format_to(out, "                Antireplay Sequence Number: {}\n\n",
                 number_of(group, "sequence"));
}

void render_peer(Out out, const Json& peer, std::size_t number) {
  fmt::format_to(out, "        Session {}:\n", number);
  fmt::format_to(out, "                Server handle: {}\n", number_of(peer, "handle"));
  fmt::format_to(out, "                Peer Address: {}\n", text_of(peer, "address"));
  fmt::format_to(out, "                Peer Version: {}\n", text_of(peer, "version"));
  fmt::format_to(out, "                Peer Priority: {}\n", number_of(peer, "priority"));
  fmt::format_to(out, "                Peer KS Role: {:<9} , Peer KS Status: {}\n",
                 text_of(peer, "role"), text_of(peer, "status"));
  fmt::format_to(out, "                Antireplay Sequence Number: {}\n\n",
                 number_of(peer, "sequence"));
  fmt::format_to(out, "                IKE status: {}\n", text_of(peer, "ike"));
  fmt::format_to(out, "                Synchronized: {}\n",
                 flag_of(peer, "synchronized") ? "Yes" : "No");
  for (const Json& one : list_of(peer, "differences"))
    fmt::format_to(out, "                Policy differs: {} is '{}' here and '{}' there\n",
                   text_of(one, "name"), text_of(one, "here"), text_of(one, "there"));
  fmt::format_to(out, "                Counters:\n");
  const auto line = [&](std::string_view label, std::string_view key) {
    fmt::format_to(out, "                    {}: {}\n", label, number_of(peer, key));
  };
  line("Ann msgs sent", "announces_sent");
  line("Ann msgs sent with reply request", "announces_sent_with_reply_request");
  line("Ann msgs recv", "announces_received");
  line("Ann msgs recv with reply request", "announces_received_with_reply_request");
  line("Packet sent drops", "sent_drops");
  line("Packet Recv drops", "received_drops");
  line("Total bytes sent", "bytes_sent");
  line("Total bytes recv", "bytes_received");
  fmt::format_to(out, "\n");
}

void render_versions(Out out, std::string_view indent, const Json& of) {
  const Json& clients = object_of(of, "clients");
  fmt::format_to(out, "{}COOP infrastructure Version : {}\n", indent, text_of(of, "version"));
  fmt::format_to(out, "{}Clients:\n", indent);
  fmt::format_to(out, "{}    KS_POLICY_CLIENT    Version : {}\n", indent,
                 text_of(clients, "policy", "-"));
  fmt::format_to(out, "{}    GROUP_MEMBER_CLIENT Version : {}\n", indent,
                 text_of(clients, "group_member", "-"));
  fmt::format_to(out, "{}    SID_CLIENT          Version : {}\n", indent,
                 text_of(clients, "sid", "-"));
}

}  // namespace

std::string render_ks_coop(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    fmt::format_to(out, "Crypto Gdoi Group Name :{}\n", text_of(group, "name"));
    fmt::format_to(out, "        Group handle: {}, Local Key Server handle: {}\n\n",
                   number_of(group, "group_handle"), number_of(group, "local_handle"));
    fmt::format_to(out, "        Local Address: {}\n", text_of(group, "local_address"));
    fmt::format_to(out, "        Local Priority: {}\n", number_of(group, "local_priority"));
    fmt::format_to(out, "        Local KS Role: {:<9} , Local KS Status: {}\n",
                   text_of(group, "role"), text_of(group, "status"));
    fmt::format_to(out, "        Local KS version: {}\n", text_of(group, "version"));
    fmt::format_to(out, "        Primary: {}\n", text_of(group, "primary", "none"));
    fmt::format_to(out, "        Keys: {}, epoch {} ({}), {} members\n",
                   text_of(group, "key_source"), number_of(group, "epoch"),
                   text_of(group, "epoch_cause", "none"), number_of(group, "members"));
    fmt::format_to(out, "        Generation: KEK {}, TEK {}\n", number_of(group, "kek_generation"),
                   number_of(group, "tek_generation"));
    if (flag_of(group, "waits_for_operator"))
      fmt::format_to(out, "        No primary: the policies differ, an operator must decide\n");
    fmt::format_to(out, "        Sender ids: {} leased, {} left\n", number_of(group, "sids_leased"),
                   number_of(group, "sids_left"));
    render_timers(out, group);
    fmt::format_to(out, "        Peer Sessions:\n");
    std::size_t number = 0;
    for (const Json& peer : list_of(group, "peers")) render_peer(out, peer, ++number);
  }
  return text.empty() ? "No group has other key servers.\n" : text;
}

std::string render_ks_coop_version(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    fmt::format_to(out, "Group {}\n    Local Key Server {}\n", text_of(group, "name"),
                   text_of(group, "local_address"));
    render_versions(out, "        ", group);
    for (const Json& peer : list_of(group, "peers")) {
      fmt::format_to(out, "    Peer Key Server {}\n", text_of(peer, "address"));
      render_versions(out, "        ", peer);
    }
  }
  return text.empty() ? "No group has other key servers.\n" : text;
}

}  // namespace cohort::daemon
