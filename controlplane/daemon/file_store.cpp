#include "controlplane/daemon/file_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utility>

#include "controlplane/crypto/hash.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

/// Ends with a suffix that no name in the store can have.
constexpr std::string_view unfinished = ".new~";

tl::unexpected<Error> failed(const std::string& what, const std::string& path) {
  return fail(store_failed, what + " " + path + ": " + std::strerror(errno));
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

Status write_all(int fd, ByteView content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t done = ::write(fd, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failed("can't write", path);
    content = content.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

constexpr const char* mark_name = "user.cohort.origin";

/// What only this file on this machine has; empty where the file system can't tell.
Bytes mark_of(int fd, ByteView content) {
  struct statx info {};
  constexpr unsigned wanted = STATX_INO | STATX_BTIME;
  if (::statx(fd, "", AT_EMPTY_PATH, wanted, &info) != 0 || (info.stx_mask & wanted) != wanted)
    return {};
  std::ifstream id_file("/etc/machine-id");
  std::string machine;
  if (!std::getline(id_file, machine) || machine.empty()) return {};
  Writer file;
  file.u64(info.stx_ino).u64(static_cast<std::uint64_t>(info.stx_btime.tv_sec));
  file.u32(info.stx_btime.tv_nsec);
  return crypto::digest(crypto::Hash::sha256,
                        {as_bytes("cohort file v1"), as_bytes(machine), file.view(), content});
}

}  // namespace

Status RealDisk::write_synced(const std::string& path, ByteView content) {
  const File file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd() < 0) return failed("can't create", path);
  COHORT_CHECK(write_all(file.fd(), content, path));
  // Without a mark the file is as good, but its past is not known.
  const Bytes mark = mark_of(file.fd(), content);
  if (mark.empty() || ::fsetxattr(file.fd(), mark_name, mark.data(), mark.size(), 0) != 0)
    (void)::fremovexattr(file.fd(), mark_name);
  if (::fsync(file.fd()) != 0) return failed("can't sync", path);
  return {};
}

Status RealDisk::rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return failed("can't rename to", to);
  return {};
}

Result<bool> RealDisk::unlink(const std::string& path) {
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return failed("can't remove", path);
}

Status RealDisk::sync_directory(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.fd() < 0 || ::fsync(file.fd()) != 0) return failed("can't sync", path);
  return {};
}

Result<bool> RealDisk::make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return true;
  if (errno == EEXIST) return false;
  return failed("can't make the directory", path);
}

Result<std::optional<Bytes>> RealDisk::read(const std::string& path) const {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.fd() < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  struct stat info {};
  if (file.fd() < 0 || ::fstat(file.fd(), &info) != 0) return failed("can't read", path);
  if (!S_ISREG(info.st_mode)) return fail(store_failed, path + " is not a regular file");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > FileStore::value_size_max) return fail(store_failed, path + " is too large");
  // Read in place: it may be keys, of which no copy shall stay behind.
  Bytes out(size);
  for (std::size_t at = 0; at < size;) {
    const ssize_t got = ::read(file.fd(), out.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("can't read", path);
    if (got == 0) return fail(store_failed, path + " became shorter while it was read");
    at += static_cast<std::size_t>(got);
  }
  return out;
}

bool RealDisk::is_original(const std::string& path, ByteView content) const {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.fd() < 0) return false;
  Bytes found(64);
  const ssize_t got = ::fgetxattr(file.fd(), mark_name, found.data(), found.size());
  if (got <= 0) return false;
  found.resize(static_cast<std::size_t>(got));
  return found == mark_of(file.fd(), content);
}

Result<std::unique_ptr<FileStore>> FileStore::open(Disk& disk, std::string directory,
                                                   const std::string& runtime_directory) {
  for (std::size_t at = 0; at != std::string::npos;) {
    at = directory.find('/', at + 1);
    COHORT_TRY([[maybe_unused]] const bool made, disk.make_directory(directory.substr(0, at)));
  }
  auto out = std::unique_ptr<FileStore>(new FileStore(disk, directory));
  if (!runtime_directory.empty()) out->witness_ = StateWitness::open(runtime_directory, directory);
  return out;
}

Result<std::string> FileStore::path_of(std::string_view name) const {
  const bool good = !name.empty() && name.size() <= 512 && name.front() != '/' &&
                    name.back() != '/' && name.find("..") == std::string_view::npos &&
                    name.find("//") == std::string_view::npos &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
                    });
  if (!good) return fail(bad_store_name, std::string(name.substr(0, 100)));
  return directory_ + "/" + std::string(name);
}

Status FileStore::put(std::string_view name, ByteView value) {
  COHORT_TRY(const std::string path, path_of(name));
  if (value.size() > value_size_max) return fail(store_failed, std::string(name) + " is too large");
  // A directory's own entry must be durable before what is in it.
  std::string parent = directory_;
  for (std::size_t at = name.find('/'); at != std::string_view::npos; at = name.find('/', at + 1)) {
    const std::string folder = directory_ + "/" + std::string(name.substr(0, at));
    COHORT_TRY(const bool made, disk_.make_directory(folder));
    if (made) COHORT_CHECK(disk_.sync_directory(parent));
    parent = folder;
  }
  const std::string fresh = path + std::string(unfinished);
  if (witness_) witness_->begin(name, value);
  COHORT_CHECK(disk_.write_synced(fresh, value));
  COHORT_CHECK(disk_.rename(fresh, path));
  COHORT_CHECK(disk_.sync_directory(parent));
  if (witness_) witness_->end(name, value);
  return {};
}

Provenance FileStore::provenance(std::string_view name) const {
  const auto path = path_of(name);
  const auto value = get(name);
  if (!path || !value || !*value) return Provenance::unknown;
  if (witness_ && witness_->confirms(name, **value)) return Provenance::latest;
  return disk_.is_original(*path, **value) ? Provenance::original : Provenance::unknown;
}

Result<std::optional<Bytes>> FileStore::get(std::string_view name) const {
  COHORT_TRY(const std::string path, path_of(name));
  return disk_.read(path);
}

Status FileStore::remove(std::string_view name) {
  COHORT_TRY(const std::string path, path_of(name));
  if (witness_) witness_->forget(name);
  COHORT_TRY(const bool was_there, disk_.unlink(path));
  if (!was_there) return {};
  return disk_.sync_directory(path.substr(0, path.rfind('/')));
}

Result<StateLock> StateLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) return failed("can't look at", directory);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(store_failed, directory + " can be written by others: chmod 700 it");
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return failed("can't open", path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return fail(store_locked, path);
  }
  return StateLock(fd);
}

StateLock::~StateLock() {
  if (fd_ >= 0) ::close(fd_);
}
StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace cohort::daemon
