#include "controlplane/crypto/cbc.hpp"

#include <gtest/gtest.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {
namespace {

TEST(Cbc, Rfc3602Case2) {
  const Bytes key = from_hex("c286696d887c9aa0611bbb3e2025a45a").value();
  const Bytes iv = from_hex("562e17996d093d28ddb3ba695a2e6f58").value();
  const Bytes plain =
      from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").value();
  const Bytes cipher = cbc_encrypt(Cipher::aes_128, key, iv, plain).value();
  EXPECT_EQ(to_hex(cipher), "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1");
  EXPECT_EQ(cbc_decrypt(Cipher::aes_128, key, iv, cipher).value(), plain);
}

TEST(Cbc, RoundTripOfEachCipher) {
  for (const Cipher cipher :
       {Cipher::aes_128, Cipher::aes_192, Cipher::aes_256, Cipher::triple_des}) {
    const Bytes key(key_size(cipher), 7), iv(block_size(cipher), 9);
    const Bytes plain(3 * block_size(cipher), 5);
    EXPECT_EQ(cbc_decrypt(cipher, key, iv, cbc_encrypt(cipher, key, iv, plain).value()).value(),
              plain);
  }
}

TEST(Cbc, RefusesWrongLengths) {
  const Bytes key(16), iv(16);
  EXPECT_TRUE(cbc_decrypt(Cipher::aes_128, key, iv, Bytes(15)).error().is(bad_cipher_length));
  EXPECT_TRUE(cbc_decrypt(Cipher::aes_128, key, iv, {}).error().is(bad_cipher_length));
  EXPECT_TRUE(cbc_decrypt(Cipher::aes_256, key, iv, Bytes(16)).error().is(bad_key));
  EXPECT_TRUE(cbc_decrypt(Cipher::aes_128, key, Bytes(8), Bytes(16)).error().is(bad_key));
}

}  // namespace
}  // namespace cohort::crypto
