#include "controlplane/base/secret.hpp"

#include <gtest/gtest.h>

#include "controlplane/base/event.hpp"
#include "controlplane/base/time.hpp"

namespace cohort {
namespace {

TEST(Secret, MovesEmptyTheSource) {
  Secret a = Secret::of_text("group key");
  const Secret b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(b, Secret::of_text("group key"));
  EXPECT_EQ(b.clone(), b);
}

TEST(Secret, ZeroizeEmptiesAndKeepsNothing) {
  Bytes octets = {1, 2, 3};
  const std::uint8_t* at = octets.data();
  zeroize(octets);
  EXPECT_TRUE(octets.empty());
  EXPECT_EQ(at[0] | at[1] | at[2], 0);  // the capacity is still ours to read
}

TEST(Event, PrintsInTheFieldsForm) {
  static constexpr EventKind kind{"GDOI", Severity::notice, "GM_REGS_COMPL", "registered"};
  EXPECT_EQ((Event{&kind, {{"group", "G"}, {"server", "192.0.2.1"}}}.text()),
            "%GDOI-5-GM_REGS_COMPL: registered (group=G, server=192.0.2.1)");
  EXPECT_EQ((Event{&kind, {}}.text()), "%GDOI-5-GM_REGS_COMPL: registered");
}

TEST(Error, TextHasNameSentenceAndDetail) {
  EXPECT_EQ(Error(bad_hex, "'zz'").text(),
            "bad_hex: the text is not an even number of hexadecimal digits ('zz')");
}

TEST(Time, Text) {
  EXPECT_EQ(to_text(WallTime{std::chrono::seconds{0}}), "1970-01-01T00:00:00Z");
}

}  // namespace
}  // namespace cohort
