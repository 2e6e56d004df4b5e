#include "tests/sim/script.hpp"

#include <algorithm>
#include <fmt/core.h>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/sim/faults.hpp"
#include "tests/sim/run.hpp"

namespace cohort::sim {

namespace {

using Words = std::vector<std::string>;

[[noreturn]] void refuse(const std::string& why) {
  throw std::runtime_error(why);
}

std::uint64_t number(const std::string& word) {
  std::size_t read = 0;
  const auto value = std::stoull(word, &read);
  if (read != word.size()) refuse("not a number: " + word);
  return value;
}

const std::string& word(const Words& words, std::size_t at) {
  if (at >= words.size()) refuse("something is missing after '" + words.back() + "'");
  return words[at];
}

Words split_words(const std::string& line) {
  std::istringstream in(line.substr(0, line.find('#')));
  Words words;
  for (std::string one; in >> one;) words.push_back(one);
  return words;
}

}  // namespace

// ---- reading ------------------------------------------------------------------------------------

std::string Script::read(const std::string& path) {
  std::ifstream in(path);
  if (!in) refuse("can't read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<Script::Command> Script::parse(std::string_view text) {
  struct Block {
    std::uint64_t times;
    std::vector<Command> commands;
  };
  std::vector<Block> blocks{{1, {}}};
  std::istringstream in{std::string(text)};
  std::size_t line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    Words words = split_words(line);
    if (words.empty()) continue;
    if (words[0] == "repeat") {
      blocks.push_back({number(word(words, 1)), {}});
    } else if (words[0] == "end") {
      if (blocks.size() == 1) refuse(fmt::format("line {}: nothing to end", line_number));
      const Block done = std::move(blocks.back());
      blocks.pop_back();
      for (std::uint64_t i = 0; i < done.times; ++i)
        blocks.back().commands.insert(blocks.back().commands.end(), done.commands.begin(),
                                      done.commands.end());
    } else {
      blocks.back().commands.push_back({line_number, std::move(words)});
    }
  }
  if (blocks.size() != 1) refuse("a repeat without its end");
  return std::move(blocks.front().commands);
}

/// 500ms, 30s, 5m, or a number of lives of a traffic key: 10lives.
Duration Script::span(const std::string& text) const {
  std::size_t read = 0;
  const auto value = std::stoll(text, &read);
  const auto unit = text.substr(read);
  if (unit == "ms") return std::chrono::milliseconds(value);
  if (unit == "s") return std::chrono::seconds(value);
  if (unit == "m") return std::chrono::minutes(value);
  if (unit == "lives") return options_.policy.sas.front().lifetime * value;
  refuse("not a time: " + text);
}

// ---- playing ------------------------------------------------------------------------------------

Script::Script(std::uint64_t seed, bool echo) {
  options_.seed = seed;
  options_.echo = echo;
  options_.members = 4;
  options_.key_servers = 2;
  options_.policy = small_policy(options_.members);
  options_.traffic.interval = std::chrono::milliseconds(500);
  using std::chrono::milliseconds;
  options_.coop.timers = {milliseconds(2000), milliseconds(4000), milliseconds(8000)};
}

Script::~Script() = default;

Script::Verdict Script::play(std::string_view text, std::uint64_t seed, bool echo) {
  Script script(seed, echo);
  std::size_t line = 0;
  try {
    for (const Command& command : parse(text)) {
      line = command.line;
      if (!script.group_ && script.setting(command)) continue;
      script.act(command);
      if (script.group_ && !script.group_->judge().violations().empty())
        script.objection_ = script.group_->judge().text();
      if (!script.objection_.empty()) break;
    }
  } catch (const std::exception& error) {
    script.objection_ = error.what();
  }
  Verdict verdict;
  if (!script.objection_.empty())
    verdict.text = fmt::format("line {}: {}", line, script.objection_);
  if (script.group_) {
    verdict.tail = script.group_->outside().log.tail();
    verdict.hash = script.group_->outside().log.hash();
  }
  return verdict;
}

/// What the group is made of, before it is.
bool Script::setting(const Command& command) {
  const Words& w = command.words;
  auto& coop = options_.coop;
  auto& policy = options_.policy;
  if (w[0] == "servers") {
    options_.key_servers = static_cast<unsigned>(number(word(w, 1)));
  } else if (w[0] == "members") {
    options_.members = static_cast<unsigned>(number(word(w, 1)));
    policy.sas.front().replay = small_policy(options_.members).sas.front().replay;
  } else if (w[0] == "traffic") {
    options_.traffic.interval = span(word(w, 1));
  } else if (w[0] == "tek") {
    policy.sas.front().lifetime =
        std::chrono::duration_cast<std::chrono::seconds>(span(word(w, 1)));
  } else if (w[0] == "kek") {
    policy.rekey.lifetime = std::chrono::duration_cast<std::chrono::seconds>(span(word(w, 1)));
  } else if (w[0] == "trust") {
    options_.state_trust = std::chrono::duration_cast<std::chrono::seconds>(span(word(w, 1)));
  } else if (w[0] == "sid_bits") {
    policy.sender_id_bits = static_cast<std::uint8_t>(number(word(w, 1)));
  } else if (w[0] == "announce") {
    const auto every = std::chrono::duration_cast<std::chrono::milliseconds>(span(word(w, 1)));
    coop.timers = {every, every * 2, every * 4};
  } else if (w[0] == "priorities") {
    for (std::size_t i = 1; i < w.size(); ++i)
      coop.priorities.push_back(static_cast<std::uint16_t>(number(w[i])));
  } else if (w[0] == "preempt") {
    coop.preempt = true;
  } else if (w[0] == "keys" && word(w, 1) == "random") {
    coop.key_source = coop::KeySource::random;
  } else if (w[0] == "evict" && word(w, 1) == "at_merge") {
    coop.evict_in_partition = coop::EvictInPartition::at_merge;
  } else if (w[0] == "drift") {
    options_.drift_ppm_max = static_cast<int>(number(word(w, 1)));
  } else if (w[0] == "delay") {
    options_.link.delay_max = span(word(w, 1));
  } else {
    return false;
  }
  return true;
}

void Script::settle(Duration limit) {
  group_ = std::make_unique<Group>(std::move(options_));
  options_ = {};
  options_.policy = group_->policy();
  oracles_ = std::make_unique<Oracles>(*group_);
  group_->boot();
  if (!group_->run_until([&] { return group_->converged(); }, limit))
    objection_ = "not settled: " + group_->describe();
  group_->traffic().start();
  group_->run_for(std::chrono::seconds(1));
  group_->traffic().forget();
}

void Script::act(const Command& command) {
  const Words& w = command.words;
  if (w[0] == "settle")
    return settle(w.size() > 2 ? span(w[2]) : Duration(std::chrono::minutes(3)));
  if (!group_) refuse("'" + w[0] + "' is no setting, and nothing is settled yet");
  group_->outside().log.note(group_->now(), "script", fmt::format("line {}", command.line), w[0]);
  if (w[0] == "run") return group_->run_for(span(word(w, 1)));
  if (w[0] == "until") return until_rekey(w.size() > 2 ? span(w[2]) : Duration(0));
  if (w[0] == "strict") return oracles_->traffic.strict(true);
  if (w[0] == "lenient") return oracles_->traffic.strict(false);
  if (w[0] == "calm") return oracles_->keys.expect_calm(true);
  if (w[0] == "rough") return oracles_->keys.expect_calm(false);
  if (w[0] == "expect") return expect(command);
  if (!on_host(command) && !on_network(command) && !operate(command))
    refuse("no such command: " + w[0]);
}

// ---- hosts --------------------------------------------------------------------------------------

std::size_t Script::index_of(const std::string& name) const {
  return number(name.substr(2)) - 1;
}

Host& Script::host(const std::string& name) {
  if (name == "primary") {
    const auto leading = group_->primaries();
    if (leading.size() != 1) refuse(fmt::format("{} primaries", leading.size()));
    return group_->server(leading.front());
  }
  const auto kind = name.substr(0, 2);
  const auto i = index_of(name);
  if (kind == "ks" && i < group_->servers()) return group_->server(i);
  if (kind == "gm" && i < group_->members()) return group_->member(i);
  refuse("nobody is called " + name);
}

std::vector<Host*> Script::hosts(const std::string& name) {
  std::vector<Host*> all;
  if (name == "servers")
    for (std::size_t i = 0; i < group_->servers(); ++i) all.push_back(&group_->server(i));
  else if (name == "members")
    for (std::size_t i = 0; i < group_->members(); ++i) all.push_back(&group_->member(i));
  else
    all.push_back(&host(name));
  return all;
}

bool Script::on_host(const Command& command) {
  const Words& w = command.words;
  const auto each = [&](auto&& action) {
    for (Host* one : hosts(word(w, 1))) action(*one);
    return true;
  };
  if (w[0] == "crash") return each([](Host& one) { one.crash(); });
  if (w[0] == "off")
    return each([](Host& one) {
      one.crash();
      one.store.lose_witness();
    });
  if (w[0] == "boot") return each([](Host& one) { one.boot(); });
  if (w[0] == "pause") return each([](Host& one) { one.pause(); });
  if (w[0] == "resume") return each([](Host& one) { one.resume(); });
  if (w[0] == "wipe")
    return each([&](Host& one) {
      for (std::size_t i = 0; i < group_->servers(); ++i)
        if (&group_->server(i) == &one) group_->start_anew(i);
    });
  if (w[0] == "image") return each([&](Host& one) { images_[one.name()] = one.store.image(); });
  if (w[0] == "restore")
    return each([&](Host& one) {
      one.crash();
      one.store.restore(images_.at(one.name()));
      one.boot();
    });
  if (w[0] == "rollback")
    return each([&](Host& one) {
      one.crash();
      one.store.roll_back(images_.at(one.name()));
      one.boot();
    });
  if (w[0] == "disk")
    return each([&](Host& one) {
      one.store.set_faults({.put_error_permille = static_cast<unsigned>(number(word(w, 2)))});
    });
  if (w[0] == "step")
    return each([&](Host& one) {
      if (group_->is_server(one)) group_->bend_time();
      one.clock.step_wall(std::chrono::duration_cast<std::chrono::seconds>(span(word(w, 2))));
    });
  return false;
}

// ---- the network --------------------------------------------------------------------------------

void Script::cut(const IpAddress& one, const IpAddress& other) {
  group_->network().block(one, other);
  group_->network().block(other, one);
}

/// Key servers of one side hear none of another, nor do the members that chose them first.
void Script::part(const Words& words) {
  std::map<std::size_t, std::size_t> side;
  std::size_t now = 0;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "|")
      ++now;
    else
      side[index_of(words[i])] = now;
  }
  for (const auto& [a, of_a] : side) {
    for (const auto& [b, of_b] : side) {
      if (of_a == of_b) continue;
      cut(Group::server_address(a), Group::server_address(b));
      for (std::size_t m = 0; m < group_->members(); ++m)
        if (m % group_->servers() == a) cut(Group::member_address(m), Group::server_address(b));
    }
  }
}

bool Script::on_network(const Command& command) {
  const Words& w = command.words;
  auto& network = group_->network();
  if (w[0] == "part") {
    part(w);
  } else if (w[0] == "cut") {
    cut(host(word(w, 1)).address(), host(word(w, 2)).address());
  } else if (w[0] == "deafen") {  // A to B: A does not hear B
    network.block(host(word(w, 3)).address(), host(word(w, 1)).address());
  } else if (w[0] == "heal") {
    network.heal();
    network.clear_links();
    network.set_default(group_->options().link);
  } else if (w[0] == "loss") {
    auto link = group_->options().link;
    link.loss_permille = static_cast<unsigned>(number(word(w, 1)));
    network.set_default(link);
  } else if (w[0] == "slow") {
    auto link = network.default_link();
    link.delay_min = span(word(w, 3));
    link.delay_max = link.delay_min * 2;
    const auto &one = host(word(w, 1)).address(), &other = host(word(w, 2)).address();
    network.set_link(one, other, link);
    network.set_link(other, one, link);
  } else {
    return false;
  }
  return true;
}

/// The primary dies when so many datagrams of a rekey are out.
void Script::trap(std::uint64_t pushes) {
  auto left = std::make_shared<std::uint64_t>(pushes);
  group_->network().add_filter([this, left](const Datagram& datagram) {
    constexpr std::size_t exchange_at = 18;
    const bool push = datagram.payload.size() > exchange_at &&
                      datagram.payload[exchange_at] ==
                          static_cast<std::uint8_t>(ike::ExchangeType::groupkey_push);
    if (!push || *left == ~std::uint64_t{0} || (*left)-- > 0) return true;
    for (Host* one : hosts("servers"))
      if (one->address() == datagram.local.address)
        group_->outside().scheduler.after(Duration(0), [one] { one->crash(); });
    return false;
  });
}

// ---- operators ----------------------------------------------------------------------------------

/// To the moment at which the next keys are distributed, or some time off it.
void Script::until_rekey(Duration offset) {
  auto& server = group_->server(group_->acting());
  const auto* running = Group::program(server);
  if (running == nullptr || !running->key_authority) refuse("no key server has a plan");
  const auto local = server.clock.now();
  group_->run_for(running->key_authority->next_change(local) - local + offset);
}

bool Script::operate(const Command& command) {
  const Words& w = command.words;
  if (w[0] == "evict") {
    const auto at = w.size() > 3 ? std::optional(index_of(w[3])) : std::nullopt;
    if (!group_->remove_member(index_of(word(w, 1)), at)) refuse("the key server does not know it");
  } else if (w[0] == "admit") {
    group_->admit_member(index_of(word(w, 1)));
  } else if (w[0] == "clear") {
    group_->clear_members();
  } else if (w[0] == "rekey") {
    if (w.size() > 2 && w[1] == "at")
      group_->rekey(false, index_of(w[2]));
    else
      group_->rekey(w.size() > 1 && w[1] == "kek");
  } else if (w[0] == "elect") {
    group_->elect(index_of(word(w, 1)));
  } else if (w[0] == "policy") {
    group_->update_policy(variant_of(group_->policy(), ++variant_));
  } else if (w[0] == "trap") {
    trap(number(word(w, 1)));
  } else if (w[0] == "remember") {
    remembered_ = host(word(w, 1)).dataplane.sending_spi();
  } else {
    return false;
  }
  return true;
}

// ---- what must be seen --------------------------------------------------------------------------

std::uint64_t Script::registrations() {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < group_->members(); ++i)
    if (const auto status = group_->member_status(i)) sum += status->registrations_succeeded;
  return sum;
}

/// Why `words` is not so; it may become so within `limit`.
std::string Script::unmet(const Words& words, Duration limit) {
  const auto holds = [&](auto&& condition, auto&& why) {
    if (group_->run_until(condition, limit)) return std::string();
    return why();
  };
  const auto count = [&](const char* what, auto&& value, std::uint64_t wanted) {
    return holds([&] { return value() == wanted; },
                 [&] { return fmt::format("{} {}", value(), what); });
  };
  const auto& what = word(words, 1);
  if (what == "agreed")
    return holds([&] { return group_->agreed(); }, [&] { return group_->disagreement(); });
  if (what == "converged")
    return holds([&] { return group_->converged(); }, [&] { return group_->describe(); });
  if (what == "primaries")
    return count(
        "primaries", [&] { return group_->primaries().size(); }, number(word(words, 2)));
  if (what == "registrations")
    return count(
        "registrations", [&] { return registrations(); }, number(word(words, 2)));
  if (what == "primary")
    return holds([&] { return group_->primaries() == std::vector{index_of(word(words, 2))}; },
                 [&] { return words[2] + " is not the primary"; });
  if (what == "silent")
    return holds([&] { return !host(word(words, 2)).dataplane.can_send(); },
                 [&] { return words[2] + " can send"; });
  if (what == "remembered")
    return holds([&] { return host(word(words, 2)).dataplane.sending_spi() == remembered_; },
                 [&] { return words[2] + " sends with another key"; });
  if (what == "other")
    return holds([&] { return host(word(words, 2)).dataplane.sending_spi() != remembered_; },
                 [&] { return words[2] + " sends with the same key"; });
  if (what == "delivered")
    return holds([&] { return group_->traffic().count(Fate::accepted) > number(word(words, 2)); },
                 [&] { return group_->traffic().text(); });
  refuse("nothing to expect is called " + what);
}

void Script::expect(const Command& command) {
  Words words = command.words;
  Duration limit{0};
  if (words.size() > 3 && words[words.size() - 2] == "within") {
    limit = span(words.back());
    words.resize(words.size() - 2);
  }
  const auto why = unmet(words, limit);
  if (!why.empty()) objection_ = "not as expected: " + why;
}

}  // namespace cohort::sim
