#include <algorithm>
#include <array>

#include "controlplane/ike/isakmp_impl.hpp"

namespace cohort::ike {

namespace {

constexpr std::array<std::uint8_t, 4> non_esp_marker{};  // RFC 3948 section 2.2
constexpr std::size_t datagram_min = 576;                // of a fragment: what any link carries

}  // namespace

bool Isakmp::Impl::has_marker(const Endpoint& local) const {
  return local.port == options.nat_port;  // always there, whoever chose the port: RFC 3948 2.2
}

Result<ByteView> Isakmp::Impl::message_in(const Datagram& datagram) const {
  const ByteView payload = datagram.payload;
  if (!has_marker(datagram.local)) return payload;
  if (payload.size() < non_esp_marker.size() ||
      !equal(payload.first(non_esp_marker.size()), non_esp_marker))
    return fail(bad_header, "no non-ESP marker on the NAT traversal port");
  return payload.subspan(non_esp_marker.size());
}

void Isakmp::Impl::send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload) {
  if (has_marker(local))
    payload.insert(payload.begin(), non_esp_marker.begin(), non_esp_marker.end());
  world.outbox.send({local, remote, std::move(payload)});
}

void Isakmp::Impl::transmit(Phase1Sa& sa, ByteView message) {
  const bool in_fragments =
      options.fragment_size != 0 && sa.peer.fragmentation && message.size() > options.fragment_size;
  if (!in_fragments) {
    send_datagram(sa.info.local, sa.info.remote, to_bytes(message));
    return;
  }
  const std::size_t size = std::max(options.fragment_size, datagram_min);
  for (Bytes& slice : split(message, size, ++sa.last_fragment_id))
    send_datagram(sa.info.local, sa.info.remote, std::move(slice));
}

}  // namespace cohort::ike
