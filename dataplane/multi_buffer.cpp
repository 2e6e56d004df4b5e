#include "dataplane/multi_buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>
#include <openssl/crypto.h>
#include <vector>

namespace cohort::dataplane {
namespace {

struct Copies {
  std::mutex mutex;
  std::vector<std::shared_ptr<const MultiBuffer>> all{std::make_shared<const MultiBuffer>()};
  bool full = false;

  static long leases(const std::shared_ptr<const MultiBuffer>& copy) {
    return copy.use_count() - 1;
  }
};

/// Never destroyed: whoever leased a copy may outlive what is static.
Copies& copies() {
  static auto* const copies = new Copies;
  return *copies;
}

template <typename Function>
bool find(void* library, const char* name, Function*& function) {
  void* const symbol = dlsym(library, name);
  if (symbol != nullptr) function = reinterpret_cast<Function*>(symbol);
  return symbol != nullptr;
}

/// A copy's C library is a copy too, and believes that it has one thread: no memory is asked of it.
MultiBuffer::Manager allocate() {
  constexpr std::size_t line = 64;
  const std::size_t size = (imb_get_mb_mgr_size() + line - 1) / line * line;
  void* const memory = std::aligned_alloc(line, size);
  return MultiBuffer::Manager(memory == nullptr ? nullptr : imb_set_pointers_mb_mgr(memory, 0, 1));
}

}  // namespace

std::shared_ptr<const MultiBuffer> MultiBuffer::load() {
  Dl_info linked;
  if (dladdr(reinterpret_cast<void*>(alloc_mb_mgr), &linked) == 0) return nullptr;
  void* const library = dlmopen(LM_ID_NEWLM, linked.dli_fname, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  auto copy = std::make_shared<MultiBuffer>();
  if (find(library, "init_mb_mgr_auto", copy->init_best_) &&
      find(library, "init_mb_mgr_avx2", copy->init_avx2_) &&
      find(library, "init_mb_mgr_sse", copy->init_sse_))
    return copy;
  dlclose(library);
  return nullptr;
}

std::shared_ptr<const MultiBuffer> MultiBuffer::lease() {
  Copies& now = copies();
  const std::lock_guard lock(now.mutex);
  const auto fewest = std::ranges::min_element(now.all, {}, Copies::leases);
  if (Copies::leases(*fewest) == 0 || now.full) return *fewest;
  if (auto loaded = load()) return now.all.emplace_back(std::move(loaded));
  now.full = true;
  return *fewest;
}

const MultiBuffer& MultiBuffer::linked() {
  static const MultiBuffer linked;
  return linked;
}

unsigned MultiBuffer::crowded() {
  Copies& now = copies();
  const std::lock_guard lock(now.mutex);
  long crowded = 0;
  for (const auto& copy : now.all)
    if (Copies::leases(copy) > 1) crowded += Copies::leases(copy);
  return static_cast<unsigned>(crowded);
}

void MultiBuffer::Free::operator()(IMB_MGR* manager) const {
  OPENSSL_cleanse(manager, imb_get_mb_mgr_size());
  std::free(manager);
}

MultiBuffer::Manager MultiBuffer::best() const {
  Manager manager = allocate();
  if (manager) init_best_(manager.get(), nullptr);
  return manager;
}

MultiBuffer::Manager MultiBuffer::avx2() const {
  Manager manager = allocate();
  if (manager) init_avx2_(manager.get());
  return manager;
}

MultiBuffer::Manager MultiBuffer::sse() const {
  Manager manager = allocate();
  if (manager) init_sse_(manager.get());
  return manager;
}

}  // namespace cohort::dataplane
