#include "controlplane/daemon/state_witness.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "controlplane/crypto/hash.hpp"

namespace cohort::daemon {
namespace {

constexpr std::size_t digest_octets = 32;
constexpr std::size_t digests_max = 8;  // puts in a row that did not end

Bytes digest_of(std::string_view name, ByteView value) {
  const std::uint8_t separator = 0;
  return crypto::digest(crypto::Hash::sha256, {as_bytes(name), ByteView(&separator, 1), value});
}

std::string hex_name(std::string_view text) {
  return to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes(text)})).substr(0, 32);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Whether a path is, or would be, in memory.
bool in_memory(std::filesystem::path path) {
  struct statfs info {};
  while (::statfs(path.c_str(), &info) != 0) {
    if (!path.has_relative_path()) return false;
    path = path.parent_path();
  }
  return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC;
}

}  // namespace

std::optional<StateWitness> StateWitness::open(const std::string& runtime_directory,
                                               const std::string& state_directory) {
  std::error_code error;
  const auto state = std::filesystem::canonical(state_directory, error);
  if (error) return std::nullopt;
  const std::string folder = runtime_directory + "/state-" + hex_name(state.string());
  if (!in_memory(folder)) return std::nullopt;  // and nothing is made there
  std::filesystem::create_directories(folder, error);
  if (error || ::chmod(folder.c_str(), 0700) != 0) return std::nullopt;
  std::string boot = content_of("/proc/sys/kernel/random/boot_id");
  if (boot.empty()) return std::nullopt;
  return StateWitness(folder, std::move(boot));
}

std::string StateWitness::path_of(std::string_view name) const {
  return folder_ + "/" + hex_name(name);
}

std::vector<Bytes> StateWitness::read(std::string_view name) const {
  const std::string content = content_of(path_of(name));
  std::vector<Bytes> out;
  if (content.compare(0, boot_.size(), boot_) != 0) return out;
  for (std::size_t at = boot_.size(); at + digest_octets <= content.size(); at += digest_octets)
    out.push_back(to_bytes(as_bytes(std::string_view(content).substr(at, digest_octets))));
  return out;
}

/// As a whole or not at all: what can't be remembered is forgotten.
void StateWitness::write(std::string_view name, const std::vector<Bytes>& digests) const {
  const std::string path = path_of(name), fresh = path + "~";
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file << boot_;
  for (const Bytes& digest : digests)
    file.write(reinterpret_cast<const char*>(digest.data()),
               static_cast<std::streamsize>(digest.size()));
  file.close();
  if (!file || std::rename(fresh.c_str(), path.c_str()) != 0) forget(name);
}

void StateWitness::begin(std::string_view name, ByteView value) const {
  std::vector<Bytes> digests = read(name);
  if (digests.size() == digests_max) return forget(name);
  digests.push_back(digest_of(name, value));
  write(name, digests);
}

void StateWitness::end(std::string_view name, ByteView value) const {
  write(name, {digest_of(name, value)});
}

void StateWitness::forget(std::string_view name) const {
  (void)::unlink(path_of(name).c_str());
}

bool StateWitness::confirms(std::string_view name, ByteView value) const {
  const std::vector<Bytes> known = read(name);
  return std::find(known.begin(), known.end(), digest_of(name, value)) != known.end();
}

}  // namespace cohort::daemon
