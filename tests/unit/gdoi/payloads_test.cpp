#include "gdoi/payloads.hpp"

#include <gtest/gtest.h>

#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

SaPayload sample_sa() {
  SaPayload sa;
  SakPayload sak;
  sak.source = {id_type::ipv4, 848, {10, 9, 0, 2}};
  sak.destination = {id_type::ipv4, 848, {10, 9, 0, 1}};
  sak.spi.fill(7);
  sak.algorithm = 3;
  sak.key_bits = 256;
  sak.lifetime_s = WireNumber{86400, false};
  sak.signature_hash = 3;
  sak.signature_algorithm = 1;
  sak.signature_key_bits = 2048;
  sak.ack_requested = 1;
  sa.sak = sak;
  sa.gap = GapPayload{60, 90, std::nullopt, 0x0102030405};
  EspSat esp;
  esp.ip_protocol = 17;
  esp.source = {id_type::ipv4_subnet, 0, {10, 0, 0, 0, 255, 0, 0, 0}};
  esp.destination = {id_type::ipv4, 5004, {239, 1, 1, 1}};
  esp.transform = 12;
  esp.spi = 0x01020304;
  esp.encapsulation = 1;
  esp.authentication = 5;
  esp.lifetime_s = WireNumber{3600, true};
  esp.lifetime_kb = WireNumber{1000000, false};
  esp.key_bits = 128;
  esp.address_preservation = 4;
  esp.direction = 3;
  esp.replay_window = 64;
  esp.time_window = 4000;
  sa.sats.push_back({protocol_esp, esp});
  ExclusionSat exclusion;
  exclusion.source = {id_type::ipv4, 100, {10, 0, 0, 1}};
  exclusion.destination = {id_type::ipv4, 0, {10, 0, 0, 2}};
  exclusion.source_port_last = 200;
  exclusion.id = 9;
  sa.sats.push_back({protocol_exclusion, exclusion});
  sa.sats.push_back({3, Bytes{1, 2, 3}});
  return sa;
}

TEST(Payloads, an_sa_survives_the_way_out_and_in) {
  const SaPayload sa = sample_sa();
  const Bytes wire = encode_sa(sa);
  const auto back = decode_sa(wire);
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(*back, sa);
  EXPECT_EQ(encode_sa(*back), wire);
}

TEST(Payloads, an_sa_cut_anywhere_is_refused) {
  const Bytes wire = encode_sa(sample_sa());
  for (std::size_t size = 0; size < wire.size(); ++size) {
    EXPECT_FALSE(decode_sa(ByteView(wire).first(size))) << size;
  }
  Bytes longer = wire;
  longer.push_back(0);
  EXPECT_FALSE(decode_sa(longer));
}

TEST(Payloads, the_order_is_sak_gap_sat_and_something_must_be_there) {
  SaPayload empty;
  EXPECT_FALSE(decode_sa(encode_sa(empty)));
  empty.gap = GapPayload{1, 2, {}};
  EXPECT_FALSE(decode_sa(encode_sa(empty)));

  ike::PayloadWriter chain;
  const Bytes gap = encode_gap(GapPayload{1, 2, {}});
  chain.add(ike::PayloadType::gap, gap);
  chain.add(ike::PayloadType::gap, gap);
  Writer sa;
  sa.u32(2).u32(0).u16(22).u16(0).bytes(chain.view());
  const auto twice = decode_sa(sa.view());
  ASSERT_FALSE(twice);
  EXPECT_TRUE(twice.error().is(payload_order));
}

TEST(Payloads, what_we_do_not_know_aborts) {
  Writer gap;
  ike::write_basic(gap, 4, 1);
  EXPECT_TRUE(decode_gap(gap.view()).error().is(unknown_attribute));
  for (const Bytes& time : {Bytes(7, 0), Bytes(9, 0), Bytes(8, 0xff)}) {
    Writer wrong;
    ike::write_variable(wrong, 200, time);
    EXPECT_TRUE(decode_gap(wrong.view()).error().is(ike::bad_payload)) << time.size();
  }
  SaPayload sa = sample_sa();
  Bytes wire = encode_sa(sa);
  // RFC 6407 section 5.3: KEK_ALGORITHM and SIG_ALGORITHM must be there.
  sa.sats.clear();
  sa.gap.reset();
  wire = encode_sa(sa);
  const auto at = to_hex(wire).find("80020003");
  ASSERT_NE(at, std::string::npos);
  Bytes unknown = wire;
  unknown[at / 2 + 1] = 0x20;
  EXPECT_TRUE(decode_sa(unknown).error().is(unknown_attribute));
  Bytes twice = wire;
  twice[at / 2 + 1] = 0x03;  // KEK_KEY_LENGTH, which follows
  EXPECT_TRUE(decode_sa(twice).error().is(duplicate_attribute));
}

TEST(Payloads, another_doi_or_a_situation_is_refused) {
  Bytes wire = encode_sa(sample_sa());
  wire[3] = 1;
  EXPECT_TRUE(decode_sa(wire).error().is(wrong_doi));
  wire[3] = 2;
  wire[7] = 1;
  EXPECT_FALSE(decode_sa(wire));
}

TEST(Payloads, sats_are_counted) {
  SaPayload sa = sample_sa();
  const SatPayload sat = sa.sats[0];
  sa.sats.assign(sa_teks_max, sat);
  EXPECT_TRUE(decode_sa(encode_sa(sa)));
  sa.sats.push_back(sat);
  EXPECT_TRUE(decode_sa(encode_sa(sa)).error().is(too_many_items));
}

TEST(Payloads, a_life_duration_needs_its_type) {
  EspSat esp;
  esp.spi = 300;
  esp.source = esp.destination = {id_type::ipv4, 0, {10, 0, 0, 1}};
  esp.lifetime_s = WireNumber{60, true};
  SaPayload sa;
  sa.sats.push_back({protocol_esp, esp});
  const Bytes whole = encode_sa(sa);
  Bytes wire(whole.begin(), whole.end() - 4);  // without the duration
  wire[14] = static_cast<std::uint8_t>((wire.size() - 12) >> 8);
  wire[15] = static_cast<std::uint8_t>(wire.size() - 12);
  EXPECT_FALSE(decode_sa(wire));
}

KdPayload sample_kd() {
  KdPayload kd;
  KeyPacket kek{Bytes(16, 1), KekKeys{Secret(Bytes(32, 2)), Bytes(91, 3)}};
  KeyPacket tek{{0, 0, 1, 1}, TekKeys{Secret(Bytes(20, 4)), Secret(Bytes(32, 5))}};
  KeyPacket sid{{}, SenderIdKeys{16, {{0, 1}, {0, 2}}}};
  kd.packets.push_back(std::move(kek));
  kd.packets.push_back(std::move(tek));
  kd.packets.push_back(std::move(sid));
  return kd;
}

TEST(Payloads, a_key_download_survives_the_way_out_and_in) {
  const KdPayload kd = sample_kd();
  const Bytes wire = encode_kd(kd);
  std::size_t size = 4;
  for (const KeyPacket& packet : kd.packets) size += encoded_size(packet);
  EXPECT_EQ(size, wire.size());
  const auto back = decode_kd(wire);
  ASSERT_TRUE(back) << back.error().text();
  ASSERT_EQ(back->packets.size(), 3u);
  EXPECT_EQ(encode_kd(*back), wire);
  for (std::size_t cut = 0; cut < wire.size(); ++cut) {
    EXPECT_FALSE(decode_kd(ByteView(wire).first(cut))) << cut;
  }
}

TEST(Payloads, only_one_kek_and_right_spi_sizes) {
  KdPayload two = sample_kd();
  two.packets.push_back({Bytes(16, 9), KekKeys{Secret(Bytes(32, 2)), {}}});
  EXPECT_TRUE(decode_kd(encode_kd(two)).error().is(too_many_items));
  KdPayload odd;
  odd.packets.push_back({{1, 2, 3}, TekKeys{Secret(Bytes(16, 4)), {}}});
  EXPECT_FALSE(decode_kd(encode_kd(odd)));
}

TEST(Payloads, seq_id_delete_and_nonce_check_their_sizes) {
  EXPECT_EQ(decode_seq(encode_seq(77)).value(), 77u);
  EXPECT_FALSE(decode_seq(Bytes{0, 0, 0}));
  EXPECT_FALSE(decode_seq(Bytes{0, 0, 0, 1, 0}));
  const IdPayload id{id_type::key_id, 0, 0, {0, 0, 1, 0xe4}};
  EXPECT_EQ(decode_id(encode_id(id)).value(), id);
  EXPECT_FALSE(decode_id(Bytes{11, 17, 0, 0, 1}));
  const DeletePayload del{protocol_esp, 4, {{0, 0, 1, 1}, {0, 0, 1, 2}}};
  EXPECT_EQ(decode_delete(encode_delete(del)).value(), del);
  Bytes wire = encode_delete(del);
  wire.pop_back();
  EXPECT_FALSE(decode_delete(wire));
  EXPECT_FALSE(decode_delete(encode_delete({protocol_kek, 4, {{0, 0, 0, 0}}})));
  EXPECT_FALSE(decode_nonce(Bytes(7)));
  EXPECT_TRUE(decode_nonce(Bytes(8)));
  EXPECT_TRUE(decode_nonce(Bytes(128)));
  EXPECT_FALSE(decode_nonce(Bytes(129)));
}

}  // namespace
}  // namespace cohort::gdoi
