#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/group.hpp"
#include "tests/sim/oracles.hpp"

namespace cohort::sim {

/// A named case in the language of tests/sim/scenarios/README.md: what the group is made of, what
/// is done to it, and what must be seen. All oracles watch it.
class Script {
 public:
  /// The commands of one file, with their line numbers; `repeat` is unrolled.
  struct Command {
    std::size_t line = 0;
    std::vector<std::string> words;
  };
  /// Throws std::runtime_error with the line for what it can't read.
  static std::vector<Command> parse(std::string_view text);

  struct Verdict {
    std::string text;  ///< what was objected to, empty if nothing was
    std::string tail;  ///< the last lines of the log
    std::uint64_t hash = 0;
  };
  /// Plays it once. The seed varies delays, drift and jitter, not the story.
  static Verdict play(std::string_view text, std::uint64_t seed, bool echo = false);
  /// The text of a file; throws if it can't be read.
  static std::string read(const std::string& path);

 private:
  explicit Script(std::uint64_t seed, bool echo);
  ~Script();

  [[nodiscard]] bool setting(const Command& command);
  void act(const Command& command);
  void settle(Duration limit);
  [[nodiscard]] bool on_host(const Command& command);
  [[nodiscard]] bool on_network(const Command& command);
  [[nodiscard]] bool operate(const Command& command);
  void until_rekey(Duration offset);
  void part(const std::vector<std::string>& words);
  void cut(const IpAddress& one, const IpAddress& other);
  void trap(std::uint64_t pushes);
  void expect(const Command& command);
  [[nodiscard]] std::string unmet(const std::vector<std::string>& words, Duration limit);
  [[nodiscard]] std::uint64_t registrations();
  [[nodiscard]] std::vector<Host*> hosts(const std::string& name);
  [[nodiscard]] Host& host(const std::string& name);
  [[nodiscard]] std::size_t index_of(const std::string& name) const;
  [[nodiscard]] Duration span(const std::string& word) const;

  GroupOptions options_;
  std::unique_ptr<Group> group_;
  std::unique_ptr<Oracles> oracles_;
  std::map<std::string, SimStore::Image> images_;
  std::uint32_t remembered_ = 0;
  unsigned variant_ = 0;
  std::string objection_;
};

}  // namespace cohort::sim
