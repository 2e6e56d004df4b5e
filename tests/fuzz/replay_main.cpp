// Runs a fuzz target over the files of its corpus, so that every build replays what fuzzing found.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry);
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> octets((std::istreambuf_iterator<char>(in)), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size());
    // Each prefix and each single flipped octet too: cheap, and truncation is the commonest bug.
    const std::size_t step = octets.size() / 256 + 1;
    for (std::size_t i = 0; i < octets.size(); i += step) {
      std::vector<std::uint8_t> changed(octets.begin(), octets.end());
      LLVMFuzzerTestOneInput(changed.data(), i);
      changed[i] = static_cast<std::uint8_t>(changed[i] ^ 0xff);
      LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
  }
  std::printf("replayed %zu corpus files\n", files.size());
  return files.empty() ? 1 : 0;
}
