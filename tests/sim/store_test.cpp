#include "tests/sim/store.hpp"

#include <gtest/gtest.h>

namespace cohort::sim {
namespace {

Bytes octets(std::uint8_t value) {
  return Bytes(8, value);
}

TEST(SimStore, KeepsWhatWasPut) {
  SimStore store{Prng(1)};
  EXPECT_EQ(store.get("x").value(), std::nullopt);
  ASSERT_TRUE(store.put("x", octets(1)));
  ASSERT_TRUE(store.put("x", octets(2)));
  EXPECT_EQ(store.get("x").value(), octets(2));
  ASSERT_TRUE(store.remove("x"));
  EXPECT_EQ(store.get("x").value(), std::nullopt);
}

TEST(SimStore, LeavesOldOrNewWhenTheMachineDiesInsideAPut) {
  bool saw_old = false;
  bool saw_new = false;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SimStore store{Prng(seed)};
    bool died = false;
    store.on_crash([&] { died = true; });
    ASSERT_TRUE(store.put("x", octets(1)));
    store.set_faults({.crash_at_put_permille = 1000});
    EXPECT_FALSE(store.put("x", octets(2)));
    EXPECT_TRUE(died);
    EXPECT_FALSE(store.put("x", octets(3))) << "a dead machine writes nothing";
    const auto value = store.get("x").value().value();
    saw_old |= value == octets(1);
    saw_new |= value == octets(2);
    EXPECT_TRUE(value == octets(1) || value == octets(2));
  }
  EXPECT_TRUE(saw_old);
  EXPECT_TRUE(saw_new);
}

TEST(SimStore, TornValuesAreThereAndUnreadable) {
  SimStore store{Prng(1)};
  ASSERT_TRUE(store.put("x", octets(1)));
  store.set_faults({.crash_at_put_permille = 1000, .torn_permille = 1000});
  EXPECT_FALSE(store.put("x", octets(2)));
  ASSERT_FALSE(store.get("x"));
  EXPECT_TRUE(store.get("x").error().is(torn_value));
}

TEST(SimStore, RefusesWithoutAChange) {
  SimStore store{Prng(1)};
  ASSERT_TRUE(store.put("x", octets(1)));
  store.set_faults({.put_error_permille = 1000});
  EXPECT_TRUE(store.put("x", octets(2)).error().is(disk_error));
  EXPECT_TRUE(store.remove("x").error().is(disk_error));
  EXPECT_EQ(store.get("x").value(), octets(1));
}

TEST(SimStore, ComesBackFromAnImage) {
  SimStore store{Prng(1)};
  ASSERT_TRUE(store.put("x", octets(1)));
  const auto image = store.image();
  ASSERT_TRUE(store.put("x", octets(2)));
  store.restore(image);
  EXPECT_EQ(store.get("x").value(), octets(1));
  store.wipe();
  EXPECT_EQ(store.get("x").value(), std::nullopt);
}

}  // namespace
}  // namespace cohort::sim
