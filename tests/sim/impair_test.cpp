#include "tests/sim/impair.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "tests/sim/scenario.hpp"

/// The oracles are shown to bite: each row breaks the outside of the nodes in one way, and names
/// the oracle that must object. The same story without the impairment passes.
namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// Owns whatever an impairment puts in front of a host's World.
struct Workshop {
  std::vector<std::unique_ptr<Dataplane>> dataplanes;
  std::vector<std::unique_ptr<Store>> stores;
  std::map<std::uint32_t, dataplane::Sa> hoard;
  std::optional<dataplane::Snapshot> stolen;

  void change(Host& host, ChangedDataplane::Change change) {
    dataplanes.push_back(std::make_unique<ChangedDataplane>(host.dataplane, std::move(change)));
    host.dataplane_seen = dataplanes.back().get();
  }
};

struct Impairment {
  const char* name;
  std::string_view oracle;
  /// Before anybody boots.
  void (*prepare)(Group&, Workshop&);
  /// After everybody has registered.
  void (*drive)(Group&, Workshop&);
  bool by_time = false;  ///< the group's anti-replay
};

void nothing(Group&, Workshop&) {}

void rekey_twice(Group& group, Workshop&) {
  for (int i = 0; i < 2; ++i) {
    group.rekey();
    group.run_for(rekey_bound(group.options()));
  }
}

void run_three_lives(Group& group, Workshop&) {
  group.run_for(seconds(1900));
}

void rekey_and_restart_server(Group& group, Workshop&) {
  for (int i = 0; i < 2; ++i) {
    for (int n = 0; n < 3; ++n) {
      group.rekey();
      group.run_for(seconds(10));
    }
    group.server().crash();
    group.server().boot();
    group.run_for(rekey_bound(group.options()));
  }
}

void reboot_member(Group& group, Workshop&) {
  group.member(0).crash();
  group.member(0).boot();
  group.run_for(minutes(1));
}

void store_forgets(Group& group, Workshop& shop) {
  shop.stores.push_back(std::make_unique<LyingStore>(group.server().store, 8));
  group.server().store_seen = shop.stores.back().get();
}

void sends_before_it_may(Group& group, Workshop& shop) {
  shop.change(group.member(0), [](dataplane::Snapshot& snapshot) {
    // The key that came last, whatever its activation time says.
    for (auto& entry : snapshot.policy) {
      if (!entry.receive_spis.empty()) entry.send_spi = entry.receive_spis.back();
    }
  });
}

void drops_old_keys_at_once(Group& group, Workshop& shop) {
  shop.change(group.member(1), [](dataplane::Snapshot& snapshot) {
    std::vector<std::uint32_t> sending;
    for (const auto& entry : snapshot.policy) sending.push_back(entry.send_spi);
    std::erase_if(snapshot.sas, [&](const auto& sa) {
      return snapshot.sas.size() > 1 &&
             std::find(sending.begin(), sending.end(), sa.spi) != sending.end();
    });
  });
}

void keeps_keys_for_ever(Group& group, Workshop& shop) {
  shop.change(group.member(2), [&shop](dataplane::Snapshot& snapshot) {
    for (const auto& sa : snapshot.sas) shop.hoard.try_emplace(sa.spi, clone(sa));
    for (const auto& [spi, sa] : shop.hoard) {
      if (std::none_of(snapshot.sas.begin(), snapshot.sas.end(),
                       [spi = spi](const auto& each) { return each.spi == spi; }))
        snapshot.sas.push_back(clone(sa));
    }
  });
}

void shares_a_sender_id(Group& group, Workshop& shop) {
  for (std::size_t i = 0; i < 2; ++i) {
    shop.change(group.member(i), [](dataplane::Snapshot& snapshot) {
      for (auto& sa : snapshot.sas) sa.sender_ids = {0};
    });
  }
}

void keeps_its_sender_id_over_a_reboot(Group& group, Workshop& shop) {
  shop.change(group.member(0), [](dataplane::Snapshot& snapshot) {
    for (auto& sa : snapshot.sas) sa.sender_ids = {60'000};
  });
}

void bends_a_key(Group& group, Workshop& shop) {
  shop.change(group.member(0), [](dataplane::Snapshot& snapshot) {
    for (auto& sa : snapshot.sas) {
      auto key = to_bytes(sa.cipher_key.view());
      key[0] ^= 1;
      sa.cipher_key = Secret::take(std::move(key));
    }
  });
}

void takes_a_key_from_anybody(Group& group, Workshop& shop) {
  shop.change(group.member(0), [](dataplane::Snapshot& snapshot) {
    if (snapshot.sas.empty()) return;
    auto forged = clone(snapshot.sas.front());
    forged.spi = 0xbadbad;
    snapshot.sas.push_back(std::move(forged));
  });
}

void has_a_mole(Group& group, Workshop& shop) {
  shop.change(group.member(0),
              [&shop](dataplane::Snapshot& snapshot) { shop.stolen = clone(snapshot); });
}

void remove_and_leak(Group& group, Workshop& shop) {
  ASSERT_TRUE(group.remove_member(3));
  group.run_for(minutes(2));
  ASSERT_TRUE(shop.stolen.has_value());
  (void)group.member(3).dataplane.apply("wan", clone(*shop.stolen));
  group.run_for(seconds(1));
}

void remove_only(Group& group, Workshop& shop) {
  shop.stolen.reset();
  ASSERT_TRUE(group.remove_member(3));
  group.run_for(minutes(2));
}

void makes_the_same_key_again(Group& group, Workshop& shop) {
  for (std::size_t i = 0; i < group.members(); ++i) {
    shop.change(group.member(i), [](dataplane::Snapshot& snapshot) {
      for (auto& sa : snapshot.sas) {
        sa.cipher_key = Secret(Bytes(sa.cipher_key.size(), 1));
        sa.salt = Secret(Bytes(sa.salt.size(), 2));
      }
    });
  }
}

void chatter(Group& group, int every_ms, int count) {
  auto& host = group.member(0);
  for (int i = 0; i < count; ++i) {
    group.outside().scheduler.after(milliseconds(every_ms) * i, [&host] {
      host.send({{host.address(), 848}, {Group::server_address(0), 848}, Bytes(40, 0)});
    });
  }
  group.run_for(seconds(30));
}

void never_stops_sending(Group& group, Workshop&) {
  chatter(group, 20, 1500);
}
void sends_a_little(Group& group, Workshop&) {
  chatter(group, 1000, 30);
}

void hoards_jobs(Group& group, Workshop&) {
  auto& port = group.member(0).open_port();
  for (int i = 0; i < 100; ++i)
    (void)port.world().jobs.post(DhGenerateJob{crypto::DhGroup::ecp256});
  group.member(0).set_job_time(seconds(5), seconds(5));
  for (int i = 0; i < 100; ++i)
    (void)port.world().jobs.post(DhGenerateJob{crypto::DhGroup::ecp256});
  group.run_for(seconds(2));
}

void accepts_a_minute(Group& group, Workshop& shop) {
  shop.change(group.member(1), [](dataplane::Snapshot& snapshot) {
    for (auto& sa : snapshot.sas) sa.replay_window = 60'000;
  });
}

void has_another_time(Group& group, Workshop& shop) {
  shop.change(group.member(1),
              [](dataplane::Snapshot& snapshot) { snapshot.group_time_offset_ms -= 20'000; });
}

const Impairment impairments[] = {
    {"store_loses_what_it_was_given", oracle::seq_back, store_forgets, rekey_and_restart_server},
    {"sends_before_its_activation", oracle::packet_lost, sends_before_it_may, rekey_twice},
    {"drops_what_others_send_with", oracle::packet_lost, drops_old_keys_at_once, rekey_twice},
    {"keeps_keys_past_their_end", oracle::lifetime, keeps_keys_for_ever, run_three_lives},
    {"two_members_share_a_sender_id", oracle::nonce_reuse, shares_a_sender_id, rekey_twice},
    {"sender_id_survives_a_reboot", oracle::nonce_reuse, keeps_its_sender_id_over_a_reboot,
     reboot_member},
    {"member_bends_a_key", oracle::spi_two_keys, bends_a_key, rekey_twice},
    {"member_takes_a_key_from_anybody", oracle::unauthentic_key, takes_a_key_from_anybody,
     rekey_twice},
    {"removed_member_has_a_mole", oracle::evicted_reads, has_a_mole, remove_and_leak},
    {"every_tek_is_the_same_key", oracle::nonce_reuse, makes_the_same_key_again, rekey_twice},
    {"member_never_stops_sending", oracle::storm, nothing, never_stops_sending},
    {"member_hoards_jobs", oracle::limits, nothing, hoards_jobs},
    {"member_has_a_wider_window", oracle::replay_accepted, accepts_a_minute, rekey_twice, true},
    {"member_has_another_time", oracle::packet_lost, has_another_time, rekey_twice, true},
};

/// The oracles that objected.
std::vector<std::string_view> tell(const Impairment& impairment) {
  Workshop shop;  // outlives the nodes that use what is in it
  auto options = scenario_options(4, milliseconds(20));
  options.link.delay_max = milliseconds(400);
  if (impairment.by_time) {
    options.policy.sas.front().replay = dataplane::ReplayKind::time;
    options.policy.sas.front().replay_window = 4000;
    options.traffic.replay_permille = 100;
  }
  Group group(options);
  Oracles oracles(group);
  impairment.prepare(group, shop);
  group.boot();
  (void)group.run_until([&] { return group.converged(); }, minutes(2));
  group.traffic().start();
  group.run_for(seconds(5));
  if (impairment.oracle == oracle::packet_lost) oracles.traffic.strict(true);
  oracles.limits.expect_quiet(true);
  impairment.drive(group, shop);
  std::vector<std::string_view> objected;
  for (const auto& violation : group.judge().violations()) objected.push_back(violation.oracle);
  return objected;
}

class Impaired : public testing::TestWithParam<Impairment> {};

TEST_P(Impaired, IsCaughtByItsOracle) {
  const auto objected = tell(GetParam());
  EXPECT_TRUE(std::find(objected.begin(), objected.end(), GetParam().oracle) != objected.end())
      << "expected " << GetParam().oracle << ", got " << testing::PrintToString(objected);
}

INSTANTIATE_TEST_SUITE_P(Sim, Impaired, testing::ValuesIn(impairments),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Unimpaired, TheSameStoriesPass) {
  for (const auto drive : {rekey_twice, run_three_lives, rekey_and_restart_server, reboot_member,
                           remove_only, sends_a_little}) {
    for (const auto& strictness : {oracle::packet_lost, oracle::lifetime}) {
      // A reboot or a removal takes a member out: its packets are lost by right.
      if (strictness == oracle::packet_lost && (drive == reboot_member || drive == remove_only))
        continue;
      EXPECT_EQ(tell({"none", strictness, nothing, drive}), std::vector<std::string_view>{});
      EXPECT_EQ(tell({"by time", strictness, nothing, drive, true}),
                std::vector<std::string_view>{});
    }
  }
}

/// A run that never comes to rest must fail by its liveness oracle.
TEST(Impaired, MemberThatNobodyHearsFailsLiveness) {
  auto options = RunOptions::draw(1, 3);
  options.faults.enabled.clear();
  options.safety = minutes(1);
  options.group.link.loss_permille = 1000;  // heals to this
  const auto outcome = run(options);
  EXPECT_FALSE(outcome.ok);
  EXPECT_NE(outcome.text.find(oracle::liveness), std::string::npos) << outcome.text;
}

}  // namespace
}  // namespace cohort::sim
