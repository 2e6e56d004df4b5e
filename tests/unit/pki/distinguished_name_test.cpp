#include "pki/distinguished_name.hpp"

#include "tests/unit/pki/fixture.hpp"

namespace cohort::pki::test {
namespace {

struct NameCase {
  std::string_view text;
  std::string_view printed;  ///< RFC 4514 text of its DER; empty: refused
};

class Names : public ::testing::TestWithParam<NameCase> {};

TEST_P(Names, AreReadAndPrinted) {
  const auto der = name_der_of_text(GetParam().text);
  if (GetParam().printed.empty()) {
    EXPECT_REFUSED(der, bad_name);
    return;
  }
  ASSERT_TRUE(der) << der.error().text();
  EXPECT_EQ(must(name_text(*der)), GetParam().printed);
  EXPECT_EQ(must(name_der_of_text(GetParam().printed)), *der);
}

INSTANTIATE_TEST_SUITE_P(
    All, Names,
    ::testing::Values(NameCase{"CN=gm1, OU=GETVPN_GM", "CN=gm1,OU=GETVPN_GM"},
                      NameCase{"CN=gm1 OU=GETVPN_GM", "CN=gm1,OU=GETVPN_GM"},
                      NameCase{"cn=gm1;ou=a", "CN=gm1,OU=a"},
                      NameCase{"CN = gm 1   O=Seed Lab C=ES", "CN=gm 1,O=Seed Lab,C=ES"},
                      NameCase{"CN=a=b, O=x y=z", "CN=a=b,O=x y=z"},
                      NameCase{"CN=Doe\\, John", "CN=Doe\\, John"},
                      NameCase{"CN=\"Doe, John\", O=x", "CN=Doe\\, John,O=x"},
                      NameCase{"CN=tail\\ ", "CN=tail\\ "},
                      NameCase{"CN=\\c3\\a9t\\C3\\A9", "CN=été"}, NameCase{"2.5.4.3=gm1", "CN=gm1"},
                      NameCase{"emailAddress=a@b.c, hostname=gm1.example.net",
                               "emailAddress=a@b.c,unstructuredName=gm1.example.net"},
                      NameCase{"CN=gm1,", ""}, NameCase{"CN=", ""}, NameCase{"=x", ""},
                      NameCase{"gm1", ""}, NameCase{"XX=gm1", ""}, NameCase{"CN=a+OU=b", ""},
                      NameCase{"CN=\"open", ""}, NameCase{"CN=a\\", ""}, NameCase{"C=Spain", ""},
                      NameCase{"CN=gm1, OU", ""}, NameCase{"3.9=x", ""}));

TEST(Name, TooLongIsRefused) {
  EXPECT_REFUSED(parse_name("CN=" + std::string(name_text_max, 'a')), bad_name);
  EXPECT_REFUSED(name_der_of_text("CN=" + std::string(65, 'a')), bad_name);  // ub-common-name
}

TEST(Name, EmptyTextIsTheEmptyName) {
  EXPECT_TRUE(must(parse_name("  ")).empty());
}

TEST(Name, ComparesAsCertificatesDo) {
  const Bytes a = must(name_der_of_text("CN=Gateway  One, O=Lab"));
  const Bytes b = must(name_der_of_text("CN=gateway one, O=LAB"));
  const Bytes c = must(name_der_of_text("O=Lab, CN=Gateway One"));
  EXPECT_NE(a, b);
  EXPECT_TRUE(same_name(a, b));
  EXPECT_FALSE(same_name(a, c));  // the order counts
}

TEST(Name, HostileDerIsRefused) {
  Bytes der = must(name_der_of_text("CN=gm1"));
  der.push_back(0);
  EXPECT_REFUSED(name_text(der), bad_name);
  EXPECT_REFUSED(name_text(ByteView{}), bad_name);
}

}  // namespace
}  // namespace cohort::pki::test
