#include "controlplane/daemon/dataplane_link.hpp"

#include <fmt/format.h>
#include <utility>

#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr std::size_t lab_keys_max = 4096;

/// Wireshark's names (epan/dissectors/packet-ipsec.c).
std::string_view integrity_name(const dataplane::SuiteShape& shape) {
  if (shape.aead) return "NULL";
  switch (shape.icv) {
    case 12:
      return "HMAC-SHA-1-96 [RFC2404]";
    case 16:
      return "HMAC-SHA-256-128 [RFC4868]";
    case 24:
      return "HMAC-SHA-384-192 [RFC4868]";
    default:
      return "HMAC-SHA-512-256 [RFC4868]";
  }
}

Secret table_lines(const dataplane::Sa& sa) {
  const dataplane::SuiteShape& shape = dataplane::shape_of(sa.suite);
  std::string key = to_hex(sa.cipher_key.view()) + to_hex(sa.salt.view());
  std::string integrity = to_hex(sa.integrity_key.view());
  std::string lines;
  for (const std::string_view family : {"IPv4", "IPv6"}) {
    lines += fmt::format("\"{}\",\"*\",\"*\",\"0x{:08x}\",\"{}\",\"0x{}\",\"{}\",\"{}{}\"\n",
                         family, sa.spi,
                         shape.aead ? "AES-GCM with 16 octet ICV [RFC4106]" : "AES-CBC [RFC3602]",
                         key, integrity_name(shape), shape.aead ? "" : "0x", integrity);
  }
  Secret out = Secret::of_text(lines);
  zeroize(key);
  zeroize(integrity);
  zeroize(lines);
  return out;
}

}  // namespace

Status DataplaneLink::apply(std::string_view port_pair, dataplane::Snapshot snapshot) {
  if (!manager_) return fail(no_role, "no dataplane");
  if (keep_keys_) remember(snapshot);
  log_.debug("dataplane", [&] {
    std::string spis;
    for (const auto& sa : snapshot.sas) spis += fmt::format(" 0x{:08x}", sa.spi);
    return fmt::format("{}: {} policy entries, SAs:{}", port_pair, snapshot.policy.size(),
                       spis.empty() ? " none" : spis);
  });
  return manager_->apply(port_pair, std::move(snapshot));
}

dataplane::Usage DataplaneLink::usage(std::string_view port_pair) const {
  return manager_ ? manager_->usage(port_pair) : dataplane::Usage{};
}

void DataplaneLink::remember(const dataplane::Snapshot& snapshot) {
  for (const dataplane::Sa& sa : snapshot.sas) {
    if (lab_lines_.size() >= lab_keys_max) lab_lines_.erase(lab_lines_.begin());
    lab_lines_.insert_or_assign(sa.spi, table_lines(sa));
  }
}

Secret DataplaneLink::esp_sa_table() const {
  Bytes out;
  for (const auto& [spi, lines] : lab_lines_) {
    out.insert(out.end(), lines.view().begin(), lines.view().end());
  }
  return Secret::take(std::move(out));
}

}  // namespace cohort::daemon
