#include "controlplane/base/printable.hpp"

#include <gtest/gtest.h>

namespace cohort {
namespace {

struct Case {
  std::string_view what, in, out;
};

TEST(Printable, leaves_names_and_takes_what_a_terminal_obeys) {
  const Case cases[] = {
      {"ascii", "CN=gm1, O=Seed Lab", "CN=gm1, O=Seed Lab"},
      {"names of people", "CN=J\xc3\xb6rg \xe5\xb1\xb1 \xf0\x9f\x94\x91",
       "CN=J\xc3\xb6rg \xe5\xb1\xb1 \xf0\x9f\x94\x91"},
      {"line ends", "a\r\nb\tc", "a??b?c"},
      {"escape and delete", "\x1b[2J\x7f", "?[2J?"},
      {"C1: an 8-bit CSI, as UTF-8 and bare",
       "\xc2\x9b"
       "2J \x9b",
       "?2J ?"},
      {"text that runs backwards",
       "\xe2\x80\xae"
       "exe",
       "?exe"},
      {"isolates and byte order mark", "\xe2\x81\xa6\xef\xbb\xbf", "??"},
      {"overlong slash", "\xc0\xaf", "??"},
      {"overlong in three", "\xe0\x80\xaf", "???"},
      {"surrogate", "\xed\xa0\x80", "???"},
      {"beyond Unicode", "\xf4\x90\x80\x80", "????"},
      {"cut off", "a\xc3", "a?"},
      {"a continuation alone", "\x80", "?"},
      {"a lead before ASCII",
       "\xc3"
       "a",
       "?a"},
  };
  for (const Case& one : cases) EXPECT_EQ(printable(one.in), one.out) << one.what;
}

TEST(Printable, is_cut_between_characters) {
  EXPECT_EQ(printable("abcd", 4), "abcd");
  EXPECT_EQ(printable("abcde", 4), "abcd\xe2\x80\xa6");
  EXPECT_EQ(printable("abc\xc3\xb6", 4), "abc\xe2\x80\xa6");
  EXPECT_EQ(printable("\x01\x02\x03", 2), "??\xe2\x80\xa6");
}

}  // namespace
}  // namespace cohort
