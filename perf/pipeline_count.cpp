/// Laps of the pipeline that ships, no clocks: what perf/instructions.py runs under callgrind,
/// which counts the instructions inside counted_laps().

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include "dataplane/eal.hpp"
#include "perf/rig.hpp"

namespace cohort::perf {

/// Has a name that callgrind can be told to toggle its counting at.
[[gnu::noinline]] unsigned counted_laps(Rig& rig, unsigned laps) {
  unsigned packets = 0;
  for (unsigned i = 0; i < laps; ++i) packets += rig.lap_through_worker();
  return packets;
}

namespace {

int run(const std::string& suite, const std::string& direction, const std::string& size,
        unsigned laps) {
  dataplane::EalOptions eal;
  eal.hugepages = false;
  eal.file_prefix = fmt::format("cohort-count-{}", getpid());
  if (const Status status = dataplane::start_eal(eal, {}); !status)
    throw std::runtime_error(status.error().text());
  rte_mempool* pool = rte_pktmbuf_pool_create("count", 2047, 256, 0, 2304, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error("no packet buffers");
  std::string pattern = (std::filesystem::temp_directory_path() / "cohort-count-XXXXXX").string();
  const std::string directory = mkdtemp(pattern.data());
  Rig::Options options;
  options.suite = suite_named(suite);
  options.encrypt = direction == "enc";
  options.inner_sizes = sizes_of(size);
  {
    Rig rig(options, *pool, directory);
    for (unsigned i = 0; i < 4; ++i) rig.lap_through_worker();
    fmt::print("packets {}\n", counted_laps(rig, laps));
  }
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace cohort::perf

int main(int argc, char** argv) {
  std::string suite = "gcm128";
  std::string direction = "enc";
  std::string size = "64";
  unsigned laps = 16;
  CLI::App app("laps through the dataplane's pipeline, to be counted");
  app.add_option("--suite", suite);
  app.add_option("--direction", direction);
  app.add_option("--size", size);
  app.add_option("--laps", laps);
  CLI11_PARSE(app, argc, argv);
  try {
    return cohort::perf::run(suite, direction, size, laps);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
