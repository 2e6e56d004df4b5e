#pragma once

#include <memory>
#include <string>

#include "controlplane/daemon/state_witness.hpp"
#include "controlplane/world/provenance.hpp"

namespace cohort::daemon {

/// The file operations of a store, each of which may fail or be the last before a crash.
class Disk {
 public:
  virtual ~Disk() = default;
  /// Creates or truncates a file (mode 0600), writes all of `content`, and syncs it.
  virtual Status write_synced(const std::string& path, ByteView content) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// True if there was one.
  virtual Result<bool> unlink(const std::string& path) = 0;
  /// Makes the names in a directory durable.
  virtual Status sync_directory(const std::string& path) = 0;
  /// Mode 0700; true if it was not there.
  virtual Result<bool> make_directory(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::optional<Bytes>> read(const std::string& path) const = 0;
  /// Whether the file with this content is the very one that write_synced() made on this machine.
  [[nodiscard]] virtual bool is_original(const std::string& /*path*/, ByteView /*content*/) const {
    return false;
  }
};

/// Marks each file that it writes with a digest over its content, its inode number and time of
/// birth, and the machine's id, as an extended attribute: no copy of the file, put back from a
/// backup or brought to another machine, agrees with its mark.
class RealDisk final : public Disk {
 public:
  Status write_synced(const std::string& path, ByteView content) override;
  Status rename(const std::string& from, const std::string& to) override;
  Result<bool> unlink(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<bool> make_directory(const std::string& path) override;
  [[nodiscard]] Result<std::optional<Bytes>> read(const std::string& path) const override;
  [[nodiscard]] bool is_original(const std::string& path, ByteView content) const override;
};

/// The World's Store as files under one directory. A put writes NAME.new, syncs it, renames it
/// over NAME and syncs the directory, so that a crash leaves the old value or the new one; what is
/// left of an interrupted put is never read and overwritten by the next.
class FileStore final : public TracedStore {
 public:
  static constexpr std::size_t value_size_max = 64 * 1024 * 1024;

  /// Makes the directory and those above it if need be. `disk` outlives the store.
  /// `runtime_directory`: where a witness may remember what was put last; empty: nowhere.
  static Result<std::unique_ptr<FileStore>> open(Disk& disk, std::string directory,
                                                 const std::string& runtime_directory = {});

  Status put(std::string_view name, ByteView value) override;
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override;
  Status remove(std::string_view name) override;
  [[nodiscard]] Provenance provenance(std::string_view name) const override;

 private:
  FileStore(Disk& disk, std::string directory) : disk_(disk), directory_(std::move(directory)) {}
  [[nodiscard]] Result<std::string> path_of(std::string_view name) const;

  Disk& disk_;
  std::string directory_;
  std::optional<StateWitness> witness_;
};

/// Keeps every other cohortd off a state directory while it lives (flock on DIRECTORY/lock).
class StateLock {
 public:
  static Result<StateLock> take(const std::string& directory);
  ~StateLock();
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&&) = delete;

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace cohort::daemon
