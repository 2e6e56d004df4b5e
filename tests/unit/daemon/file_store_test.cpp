#include "controlplane/daemon/file_store.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <linux/magic.h>
#include <map>
#include <memory>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

/// A disk that loses what was not synced. Content is durable once write_synced returns; a name
/// (of a file or a directory) only once its directory was synced. At operation `crash_at` the power
/// fails: the operation is done by half, and every later one fails.
class LossyDisk final : public Disk {
 public:
  struct Node {
    Bytes content;
    bool directory = false;
  };
  using Names = std::map<std::string, Node>;

  Names now;      ///< what programs see
  Names durable;  ///< what is there after a power failure at the worst moment
  int operations = 0;
  int crash_at = -1;

  Status write_synced(const std::string& path, ByteView content) override {
    if (dies()) {
      now[path] = {to_bytes(content.first(content.size() / 2)), false};
      return dead();
    }
    if (is_dead()) return dead();
    now[path] = {to_bytes(content), false};
    // The file's content is on the platter, under whatever name it already has there.
    if (durable.contains(path)) durable[path].content = to_bytes(content);
    return {};
  }
  Status rename(const std::string& from, const std::string& to) override {
    if (is_dead_or_dies()) return dead();
    now[to] = now.at(from);
    now.erase(from);
    return {};
  }
  Result<bool> unlink(const std::string& path) override {
    if (is_dead_or_dies()) return fail(store_failed, "crash");
    return now.erase(path) > 0;
  }
  Status sync_directory(const std::string& path) override {
    if (is_dead_or_dies()) return dead();
    const auto in_directory = [&](const std::string& name) {
      return name.substr(0, name.rfind('/')) == path;
    };
    std::erase_if(durable, [&](const auto& one) {
      return in_directory(one.first) && !now.contains(one.first);
    });
    for (const auto& [name, node] : now) {
      if (in_directory(name)) durable[name] = node;
    }
    return {};
  }
  Result<bool> make_directory(const std::string& path) override {
    if (is_dead_or_dies()) return fail(store_failed, "crash");
    const bool made = !now.contains(path);
    if (made) now[path] = {{}, true};
    return made;
  }
  [[nodiscard]] Result<std::optional<Bytes>> read(const std::string& path) const override {
    const auto at = now.find(path);
    if (at == now.end()) return std::nullopt;
    return at->second.content;
  }

  /// The machine comes up again with only what was durable. A name in a directory that is not there
  /// is gone too.
  void power_failure() {
    now.clear();
    for (const auto& [name, node] : durable) {
      const std::string parent = name.substr(0, name.rfind('/'));
      if (parent == "/s" || parent.empty() || now.contains(parent)) now[name] = node;
    }
    now["/s"] = {{}, true};
    crash_at = -1;
    dead_ = false;
  }
  /// The program died, and the machine went on: everything is there as it was.
  void program_death() {
    crash_at = -1;
    dead_ = false;
  }

 private:
  bool dies() {
    if (dead_ || operations++ != crash_at) return false;
    dead_ = true;
    return true;
  }
  [[nodiscard]] bool is_dead() const { return dead_; }
  bool is_dead_or_dies() { return dead_ || dies(); }
  static Status dead() { return fail(store_failed, "crash"); }

  bool dead_ = false;
};

std::string text_of(const Result<std::optional<Bytes>>& value) {
  if (!value) return "error: " + value.error().text();
  return *value ? std::string((*value)->begin(), (*value)->end()) : "(none)";
}

enum class Failure { power, program };

/// Puts "old", then "new" with a crash at each operation in turn.
void crash_everywhere(const std::string& name, Failure failure) {
  for (int at = 0;; ++at) {
    SCOPED_TRACE("crash at operation " + std::to_string(at));
    LossyDisk disk;
    auto store = FileStore::open(disk, "/s").value();
    ASSERT_TRUE(store->put(name, as_bytes("old")));
    disk.operations = 0;
    disk.crash_at = at;
    const bool stored = store->put(name, as_bytes("new")).has_value();
    const bool crashed = at < disk.operations && !stored;
    if (failure == Failure::power) {
      disk.power_failure();
    } else {
      disk.program_death();
    }
    store = FileStore::open(disk, "/s").value();
    const std::string found = text_of(store->get(name));
    if (stored) {
      EXPECT_EQ(found, "new") << "what put() promised is gone";
    } else {
      EXPECT_THAT(found, testing::AnyOf("old", "new"));
    }
    // Whatever is left of the crash is in nobody's way.
    ASSERT_TRUE(store->put(name, as_bytes("third")));
    EXPECT_EQ(text_of(store->get(name)), "third");
    disk.power_failure();
    EXPECT_EQ(text_of(FileStore::open(disk, "/s").value()->get(name)), "third");
    if (!crashed) break;
  }
}

TEST(FileStore, OldOrNewAfterAPowerFailure) {
  crash_everywhere("value", Failure::power);
  crash_everywhere("deep/er/value", Failure::power);
}

TEST(FileStore, OldOrNewAfterTheProgramDied) {
  crash_everywhere("value", Failure::program);
  crash_everywhere("deep/er/value", Failure::program);
}

TEST(FileStore, AFirstValueInANewDirectorySurvives) {
  LossyDisk disk;
  auto store = FileStore::open(disk, "/s").value();
  ASSERT_TRUE(store->put("a/b/c", as_bytes("x")));
  disk.power_failure();
  EXPECT_EQ(text_of(store->get("a/b/c")), "x");
}

TEST(FileStore, ARemovedValueStaysAway) {
  LossyDisk disk;
  auto store = FileStore::open(disk, "/s").value();
  ASSERT_TRUE(store->put("gone", as_bytes("x")));
  ASSERT_TRUE(store->remove("gone"));
  disk.power_failure();
  EXPECT_EQ(text_of(store->get("gone")), "(none)");
  EXPECT_TRUE(store->remove("gone"));
}

TEST(FileStore, RefusesNamesThatLeaveItsDirectory) {
  LossyDisk disk;
  auto store = FileStore::open(disk, "/s").value();
  for (const char* name : {"", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a b", "a\n", "x~"}) {
    const Status put = store->put(name, as_bytes("x"));
    ASSERT_FALSE(put) << name;
    EXPECT_TRUE(put.error().is(bad_store_name)) << name;
    EXPECT_FALSE(store->get(name)) << name;
    EXPECT_FALSE(store->remove(name)) << name;
  }
}

class OnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cohort-store-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  static unsigned mode_of(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777u : 0;
  }
  std::string directory_;
};

TEST_F(OnDisk, ModesKeepOthersOut) {
  RealDisk disk;
  auto store = FileStore::open(disk, directory_ + "/new/state").value();
  ASSERT_TRUE(store->put("keys/one", as_bytes("secret")));
  EXPECT_EQ(mode_of(directory_ + "/new/state"), 0700u);
  EXPECT_EQ(mode_of(directory_ + "/new/state/keys"), 0700u);
  EXPECT_EQ(mode_of(directory_ + "/new/state/keys/one"), 0600u);
  EXPECT_EQ(text_of(store->get("keys/one")), "secret");
  EXPECT_EQ(text_of(store->get("keys/two")), "(none)");
  EXPECT_EQ(text_of(store->get("keys/one/under")), "(none)");
}

TEST_F(OnDisk, DoesNotFollowALinkSomebodyPutThere) {
  RealDisk disk;
  auto store = FileStore::open(disk, directory_).value();
  std::filesystem::create_symlink("/etc/hostname", directory_ + "/link");
  EXPECT_FALSE(store->get("link"));
}

TEST_F(OnDisk, AFileIsTheOriginalUntilItIsACopy) {
  RealDisk disk;
  auto store = FileStore::open(disk, directory_).value();
  ASSERT_TRUE(store->put("a/state", as_bytes("first")));
  if (store->provenance("a/state") != Provenance::original)
    GTEST_SKIP() << "no extended attributes, times of birth or machine id here";
  const std::string path = directory_ + "/a/state", backup = directory_ + "/backup";
  EXPECT_EQ(store->provenance("a/other"), Provenance::unknown);
  std::filesystem::copy_file(path, backup);
  ASSERT_TRUE(store->put("a/state", as_bytes("second")));
  EXPECT_EQ(store->provenance("a/state"), Provenance::original);
  // Written over what is there: the file is the same, its content is not.
  std::filesystem::copy_file(backup, path, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(text_of(store->get("a/state")), "first");
  EXPECT_EQ(store->provenance("a/state"), Provenance::unknown);
  // Put in its place, with its attributes: another file.
  ASSERT_TRUE(store->put("a/state", as_bytes("third")));
  ASSERT_EQ(std::system(("cp -a " + path + " " + backup + "2").c_str()), 0);
  ASSERT_TRUE(store->put("a/state", as_bytes("fourth")));
  std::filesystem::rename(backup + "2", path);
  EXPECT_EQ(text_of(store->get("a/state")), "third");
  EXPECT_EQ(store->provenance("a/state"), Provenance::unknown);
}

class Witnessed : public OnDisk {
 protected:
  void SetUp() override {
    OnDisk::SetUp();
    std::string pattern = "/dev/shm/cohort-witness-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) GTEST_SKIP() << "no /dev/shm here";
    memory_ = pattern;
    std::filesystem::create_directory(directory_ + "/s");
    if (!StateWitness::open(memory_, directory_ + "/s")) GTEST_SKIP() << "/dev/shm is no tmpfs";
  }
  void TearDown() override {
    OnDisk::TearDown();
    if (!memory_.empty()) std::filesystem::remove_all(memory_);
  }
  std::unique_ptr<FileStore> open() {
    return FileStore::open(disk_, directory_ + "/s", memory_).value();
  }
  std::string memory_;
  RealDisk disk_;
};

TEST_F(Witnessed, WhatWasPutLastIsKnownAcrossARestartOfTheProgram) {
  ASSERT_TRUE(open()->put("a/state", as_bytes("first")));
  const std::string path = directory_ + "/s/a/state", backup = directory_ + "/backup";
  EXPECT_EQ(open()->provenance("a/state"), Provenance::latest);
  std::filesystem::copy_file(path, backup);
  ASSERT_TRUE(open()->put("a/state", as_bytes("second")));
  EXPECT_EQ(open()->provenance("a/state"), Provenance::latest);
  std::filesystem::rename(backup, path);
  EXPECT_EQ(open()->provenance("a/state"), Provenance::unknown);
  EXPECT_EQ(open()->provenance("b"), Provenance::unknown);
  ASSERT_TRUE(open()->put("a/state", as_bytes("third")));
  ASSERT_TRUE(open()->remove("a/state"));
  ASSERT_TRUE(open()->put("b", as_bytes("third")));
  std::filesystem::rename(directory_ + "/s/b", path);
  EXPECT_NE(open()->provenance("a/state"), Provenance::latest) << "of another name";
}

TEST_F(Witnessed, APutThatDidNotEndLeavesBothValuesTheLast) {
  ASSERT_TRUE(open()->put("state", as_bytes("old")));
  StateWitness::open(memory_, directory_ + "/s")->begin("state", as_bytes("new"));
  EXPECT_EQ(open()->provenance("state"), Provenance::latest) << "the rename was not reached";
  std::ofstream(directory_ + "/s/state") << "new";
  EXPECT_EQ(open()->provenance("state"), Provenance::latest) << "it was, and that is all";
  ASSERT_TRUE(open()->put("state", as_bytes("newer")));
  std::ofstream(directory_ + "/s/state") << "new";
  EXPECT_EQ(open()->provenance("state"), Provenance::unknown);
}

TEST_F(Witnessed, AnotherStartOfTheMachineKnowsNothing) {
  ASSERT_TRUE(open()->put("state", as_bytes("value")));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(memory_)) {
    if (!entry.is_regular_file()) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file << "00000000";  // the kernel's id of this start comes first
  }
  EXPECT_NE(open()->provenance("state"), Provenance::latest);
}

TEST_F(OnDisk, ARuntimeDirectoryThatIsNotInMemoryIsNoWitness) {
  struct statfs info {};
  ASSERT_EQ(::statfs(directory_.c_str(), &info), 0);
  if (info.f_type == TMPFS_MAGIC) GTEST_SKIP() << "the temporary directory is in memory";
  EXPECT_FALSE(StateWitness::open(directory_, directory_));
}

TEST_F(OnDisk, OneDaemonForADirectory) {
  auto first = StateLock::take(directory_);
  ASSERT_TRUE(first);
  const auto second = StateLock::take(directory_);
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is(store_locked));
  { const StateLock released = std::move(*first); }
  EXPECT_TRUE(StateLock::take(directory_));
}

}  // namespace
}  // namespace cohort::daemon
