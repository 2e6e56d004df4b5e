#include "controlplane/crypto/hash.hpp"

#include <gtest/gtest.h>

namespace cohort::crypto {
namespace {

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(to_hex(digest(Hash::md5, {as_bytes("a"), as_bytes("bc")})),
            "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(to_hex(digest(Hash::sha1, {as_bytes("abc")})),
            "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(to_hex(digest(Hash::sha256, {as_bytes("abc")})),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  for (const Hash hash : {Hash::md5, Hash::sha1, Hash::sha256, Hash::sha384, Hash::sha512})
    EXPECT_EQ(digest(hash, {}).size(), size_of(hash));
}

TEST(Hmac, Rfc4231Case2) {
  EXPECT_EQ(to_hex(hmac(Hash::sha256, as_bytes("Jefe"),
                        {as_bytes("what do ya want "), as_bytes("for nothing?")})),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hmac, EmptyKeyIsAKey) {
  EXPECT_EQ(to_hex(hmac(Hash::sha1, {}, {})), "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d");
}

}  // namespace
}  // namespace cohort::crypto
