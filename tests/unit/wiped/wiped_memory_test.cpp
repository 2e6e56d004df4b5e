#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <malloc.h>
#include <new>
#include <unistd.h>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/file_store.hpp"
#include "controlplane/ike/secure_exchange.hpp"
#include "coop/messages.hpp"
#include "coop/replica.hpp"
#include "coop/stream.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/policy_wire.hpp"

/// What is freed is looked through before: no key may be in it.
namespace {

constexpr std::array<std::uint8_t, 16> key = {0xde, 0xad, 0x0b, 0x11, 0x5e, 0xc2, 0xe7, 0x99,
                                              0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93};
bool watching = false;
unsigned freed_with_key = 0;

void look_through(void* block) {
  if (!watching || block == nullptr) return;
  const auto* octets = static_cast<const std::uint8_t*>(block);
  const std::uint8_t* end = octets + malloc_usable_size(block);
  if (std::search(octets, end, key.begin(), key.end()) != end) ++freed_with_key;
}

}  // namespace

void* operator new(std::size_t size) {
  void* block = std::calloc(1, size);  // the octets behind what is used are looked at, too
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept {
  look_through(block);
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  look_through(block);
  std::free(block);
}

namespace cohort {
namespace {

class WipedMemory : public testing::Test {
 protected:
  void SetUp() override {
    freed_with_key = 0;
    watching = true;
  }
  void TearDown() override { watching = false; }
};

TEST_F(WipedMemory, is_what_this_test_can_see) {
  {
    const Bytes copy = to_bytes(key);
    asm volatile("" : : "r"(copy.data()) : "memory");  // or the optimizer may see nothing to do
  }
  EXPECT_EQ(freed_with_key, 1u);
}

TEST_F(WipedMemory, is_left_by_a_writer_that_grows_is_moved_or_goes) {
  {
    Writer out;
    for (unsigned i = 0; i < 500; ++i) out.bytes(key).u32(i);
    Writer other = std::move(out);
    other.bytes(key);
    Writer third;
    third.bytes(key);
    third = std::move(other);
    Bytes taken = third.take();
    EXPECT_EQ(taken.size(), 501 * 16u + 500 * 4u);
    zeroize(taken);
    third.bytes(key);
  }
  EXPECT_EQ(freed_with_key, 0u);
}

TEST_F(WipedMemory, is_left_by_a_secret) {
  {
    Secret secret(key);
    Secret copy = secret.clone();
    secret = std::move(copy);
    copy = Secret(key);
    const Secret moved = std::move(copy);
  }
  EXPECT_EQ(freed_with_key, 0u);
}

TEST_F(WipedMemory, is_left_by_a_download) {
  const ike::Phase1Keys keys{
      crypto::Cipher::aes_128, crypto::Hash::sha256, Secret(Bytes(32, 1)), Secret(Bytes(32, 2)),
      Secret(Bytes(32, 3)),    Secret(Bytes(16, 4)), Bytes(16, 5)};
  gdoi::Tek tek;
  tek.spi = 0x1000;
  tek.suite = dataplane::Suite::aes_128_gcm_16;
  tek.cipher_key = Secret(key);
  tek.salt = Secret(Bytes(4, 7));
  gdoi::KdPayload kd;
  kd.packets.push_back(gdoi::make_key_packet(tek));
  ike::SecureExchange sender(keys, ike::Cookie{1}, ike::Cookie{2}, 3);
  const ike::SecureExchange receiver(keys, ike::Cookie{1}, ike::Cookie{2}, 3);
  {
    Bytes body = gdoi::encode_kd(kd);
    ike::PayloadWriter chain;
    chain.add(ike::PayloadType::kd, body);
    zeroize(body);
    const auto sealed = sender.seal(ike::ExchangeType::groupkey_pull, chain.first(), chain.view());
    ASSERT_TRUE(sealed);
    ASSERT_TRUE(receiver.open(*sealed));
  }
  EXPECT_EQ(freed_with_key, 0u);
}

TEST_F(WipedMemory, is_left_by_a_stream_between_key_servers) {
  {
    const IpAddress us = IpAddress::v4(1), peer = IpAddress::v4(2);
    coop::Replica here{us}, there{peer};
    coop::StreamSender out;
    coop::StreamReceiver in;
    for (std::uint8_t i = 1; i <= 40; ++i) {
      Writer value;
      value.zeros(100).bytes(key);
      ASSERT_TRUE(here.put({coop::Kind::member, {i}}, value.view(), 10));
    }
    out.restart(true);
    TimePoint now{};
    while (!out.holds(here, peer, here.last_change())) {
      now += std::chrono::milliseconds(100);
      std::vector<coop::Data> flight;
      out.pump(now, here, peer, [&](coop::Data data) { flight.push_back(std::move(data)); });
      std::swap(flight.front(), flight.back());
      for (const coop::Data& data : flight) {
        auto taken = in.take(data);
        ASSERT_TRUE(taken);
        for (const WipedBytes& record : taken->records) {
          auto item = coop::decode_item(record);
          ASSERT_TRUE(item && *item && there.apply(std::move(**item), us));
        }
        out.on_ack(now, in.ack());
      }
    }
  }
  EXPECT_EQ(freed_with_key, 0u);
}

TEST_F(WipedMemory, is_left_by_a_file_that_is_read) {
  std::string directory = testing::TempDir() + "cohort-wiped-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/state";
  {
    daemon::RealDisk disk;
    Writer content;
    content.bytes(key).zeros(200'000).bytes(key);
    ASSERT_TRUE(disk.write_synced(path, content.view()));
    auto read = disk.read(path);
    ASSERT_TRUE(read && *read);
    EXPECT_TRUE(equal(**read, content.view()));
    zeroize(**read);
  }
  EXPECT_EQ(freed_with_key, 0u);
  ::unlink(path.c_str());
  ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace cohort
