#include "controlplane/daemon/state_key.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <sys/stat.h>

#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr std::size_t key_octets = 32;

bool private_to_owner(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) == 0;
}

/// Empty unless the text is a key.
Secret parse(ByteView text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
    text = text.first(text.size() - 1);
  const std::string_view digits(reinterpret_cast<const char*>(text.data()), text.size());
  auto octets = from_hex(digits);
  if (!octets || octets->size() != key_octets) return {};
  return Secret::take(std::move(*octets));
}

/// Makes a directory and those above it; each new name is durable.
Status make_path(Disk& disk, const std::string& path) {
  std::string above = "/";
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string folder = path.substr(0, at);
    COHORT_TRY(const bool made, disk.make_directory(folder));
    if (made) COHORT_CHECK(disk.sync_directory(above));
    if (at == std::string::npos) return {};
    above = folder;
  }
}

Result<Secret> make(Disk& disk, Random& random, const std::string& path) {
  const std::string parent = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
  COHORT_CHECK(make_path(disk, parent));
  Bytes octets = random.bytes(key_octets);
  std::string text = to_hex(octets) + "\n";
  const std::string fresh = path + ".new";
  const Status written = disk.write_synced(fresh, as_bytes(text));
  zeroize(text);
  Secret out = Secret::take(std::move(octets));
  COHORT_CHECK(written);
  COHORT_CHECK(disk.rename(fresh, path));
  COHORT_CHECK(disk.sync_directory(parent));
  return out;
}

}  // namespace

Result<Secret> load_state_key(Disk& disk, Random& random, const std::string& path, bool may_make) {
  COHORT_TRY(auto content, disk.read(path));
  if (!content) {
    if (!may_make)
      return fail(state_key_unusable, path + " is not there, but state that it seals is");
    return make(disk, random, path);
  }
  Secret key = parse(*content);
  zeroize(*content);
  if (key.empty())
    return fail(state_key_unusable, path + " does not hold 64 hexadecimal digits and nothing else");
  if (!private_to_owner(path))
    return fail(state_key_unusable, fmt::format("others can read it: chmod 600 {}", path));
  return key;
}

}  // namespace cohort::daemon
