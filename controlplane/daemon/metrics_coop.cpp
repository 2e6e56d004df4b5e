#include "controlplane/daemon/metrics_coop.hpp"

#include <utility>

#include "coop/election.hpp"

namespace cohort::daemon {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// A role or state that is one of a few: 1 at the one that holds.
template <typename T>
void add_states(std::vector<Sample>& out, const std::string& name, const std::string& help,
                const Labels& labels, const std::string& label, T now,
                std::initializer_list<T> all) {
  for (const T one : all) {
    Labels with = labels;
    with.emplace_back(label, std::string(name_of(one)));
    out.push_back({name, help, std::move(with), one == now ? 1.0 : 0.0, false});
  }
}

void add_peer(const coop::PeerStatus& peer, Labels labels, std::vector<Sample>& out) {
  using coop::Reach;
  labels.emplace_back("peer", peer.address.address.text());
  const auto add = [&](std::string name, std::string help, std::uint64_t value, bool counter) {
    out.push_back({std::move(name), std::move(help), labels, static_cast<double>(value), counter});
  };
  const auto add_direction = [&](const std::string& name, const std::string& help,
                                 std::uint64_t sent, std::uint64_t received) {
    for (const bool in : {false, true}) {
      Labels with = labels;
      with.emplace_back("direction", in ? "in" : "out");
      out.push_back({name, help, std::move(with), static_cast<double>(in ? received : sent), true});
    }
  };
  add_states(out, "coop_peer_state", "Reachability of a key server, 1 at the state it is in",
             labels, "state", peer.reach, {Reach::unknown, Reach::alive, Reach::dead});
  add("coop_peer_synchronized", "1 if the key server holds all of our state", peer.synchronized,
      false);
  add("coop_peer_lag_changes", "Changes of ours that the key server has not acknowledged", peer.lag,
      false);
  add("coop_peer_differences", "Entries in which its policy differs from ours",
      peer.differences.size(), false);
  const auto& c = peer.counters;
  add_direction("coop_announcements_total", "Announcements", c.announces_sent,
                c.announces_received);
  add_direction("coop_announcements_with_reply_request_total", "Announcements that ask for a reply",
                c.announces_sent_with_request, c.announces_received_with_request);
  add_direction("coop_drops_total", "Messages that could not be sent, or were refused",
                c.send_drops, c.receive_drops);
  add_direction("coop_bytes_total", "Octets of COOP messages", c.octets_sent, c.octets_received);
  add("coop_retransmissions_total", "DATA messages sent again", c.retransmissions, true);
  out.push_back({"coop_peer_pseudotime_difference_seconds",
                 "Pseudotime of the key server against ours, at its last announcement", labels,
                 static_cast<double>(peer.pseudotime_difference_ms) / 1000.0, false});
}

}  // namespace

void add_coop_samples(const std::vector<coop::GroupStatus>& groups, std::vector<Sample>& out) {
  using coop::Role;
  for (const coop::GroupStatus& group : groups) {
    const Labels labels{{"group", group.group_name}};
    const auto add = [&](std::string name, std::string help, std::uint64_t value, bool counter) {
      out.push_back(
          {std::move(name), std::move(help), labels, static_cast<double>(value), counter});
    };
    add_states(out, "coop_role", "1 at the role that this key server is in", labels, "role",
               group.role, {Role::listening, Role::secondary, Role::electing, Role::primary});
    add("coop_elections_total", "Elections that this key server took part in", group.elections,
        true);
    add("coop_epoch", "Number of the epoch that the keys are of", group.epoch_number, false);
    add("coop_kek_generation", "Generation of the key-encryption key", group.kek_generation, false);
    add("coop_tek_generation", "Highest generation of a traffic key", group.tek_generation, false);
    add("coop_policy_differs", "1 if our policy differs from the primary's", group.drifted, false);
    add("coop_members", "Members in the replicated state", group.members, false);
    add("coop_sender_ids_left", "Sender ids of our leases that were never handed out",
        group.sids_left, false);
    add("coop_invalid_pseudotimes_total", "Announcements with a pseudotime far from ours",
        group.invalid_pseudotimes, true);
    for (const coop::PeerStatus& peer : group.peers) add_peer(peer, labels, out);
  }
}

}  // namespace cohort::daemon
