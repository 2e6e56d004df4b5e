#include "controlplane/ike/fragmentation.hpp"

#include <algorithm>
#include <cassert>

#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::size_t fragment_header = 8;  // generic header, id, number, flags
constexpr std::uint8_t flag_last = 0x01;
constexpr std::size_t slices_max = 255;

}  // namespace

//  ! Next Payload  !   RESERVED    !         Payload Length        !
//  !          Fragment ID          !    Number     !     Flags     !
//  ~                     slice of the message                      ~
std::vector<Bytes> split(ByteView message, std::size_t datagram_max, std::uint16_t id) {
  assert(datagram_max >= 64);
  std::size_t room = datagram_max - Header::size - fragment_header;
  room = std::max(room, (message.size() + slices_max - 1) / slices_max);
  auto header = Header::parse(message).value();
  std::vector<Bytes> datagrams;
  for (std::size_t at = 0; at < message.size(); at += room) {
    const ByteView slice = message.subspan(at, std::min(room, message.size() - at));
    const bool last = at + slice.size() == message.size();
    header.next = PayloadType::fragment;
    header.flags = 0;
    header.length = static_cast<std::uint32_t>(Header::size + fragment_header + slice.size());
    Writer out;
    header.write(out);
    out.u8(0)
        .u8(0)
        .u16(static_cast<std::uint16_t>(fragment_header + slice.size()))
        .u16(id)
        .u8(static_cast<std::uint8_t>(datagrams.size() + 1))
        .u8(last ? flag_last : 0)
        .bytes(slice);
    datagrams.push_back(out.take());
  }
  return datagrams;
}

std::size_t Reassembly::held() const {
  std::size_t sum = 0;
  for (const Partial& one : partial_) sum += one.held;
  return sum;
}

Result<std::optional<Bytes>> Reassembly::add(ByteView datagram, std::size_t message_max) {
  COHORT_TRY(const auto payloads,
             walk(PayloadType::fragment, datagram.subspan(Header::size), false));
  Reader in(payloads.front().body);
  const std::uint16_t id = in.u16();
  const std::uint8_t number = in.u8();
  const bool last = (in.u8() & flag_last) != 0;
  const ByteView slice = in.rest();
  if (!in.ok() || payloads.size() != 1 || number == 0 || slice.empty())
    return fail(bad_fragment, "its fields");
  auto at = std::find_if(partial_.begin(), partial_.end(),
                         [id](const Partial& one) { return one.id == id; });
  if (at == partial_.end()) {
    if (partial_.size() == messages_max) partial_.pop_front();
    partial_.emplace_back().id = id;
    at = std::prev(partial_.end());
  }
  if (at->slices.contains(number))
    return std::optional<Bytes>{};  // a duplicate: the first one stands
  if ((last && at->last != 0) || (at->last != 0 && number > at->last) ||
      (last && !at->slices.empty() && at->slices.rbegin()->first > number)) {
    partial_.erase(at);
    return fail(bad_fragment, "numbers beyond the last one");
  }
  if (at->held + slice.size() + slice_cost > message_max) {
    partial_.erase(at);
    return fail(bad_fragment, "the message would be too long");
  }
  if (last) at->last = number;
  at->held += slice.size() + slice_cost;
  at->slices.emplace(number, to_bytes(slice));
  if (at->last == 0 || at->slices.size() != at->last) {
    while (held() > message_max) {
      // Never this message, which fits by itself.
      partial_.erase(partial_.front().id == id ? std::next(partial_.begin()) : partial_.begin());
    }
    return std::optional<Bytes>{};
  }
  Bytes message;
  message.reserve(at->held);
  for (const auto& [place, octets] : at->slices)
    message.insert(message.end(), octets.begin(), octets.end());
  partial_.erase(at);
  return std::optional<Bytes>(std::move(message));
}

}  // namespace cohort::ike
