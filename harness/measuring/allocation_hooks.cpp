#include "measuring/allocation_hooks.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SUBQUAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SUBQUAD_SANITIZED 1
#endif
#endif

namespace subquad {
namespace {

// Initial-exec: the general model may itself allocate on a thread's first access.
__attribute__((tls_model("initial-exec"))) thread_local AllocationScope* thread_scope = nullptr;
constinit std::atomic<AllocationScope*> process_scope{nullptr};
// A process scope may only be left when no other thread is still counting into it.
constinit std::atomic<int> visitors{0};

template <class Record>
void for_each_scope(Record record) {
  if (thread_scope != nullptr) record(*thread_scope);
  if (process_scope.load(std::memory_order_relaxed) == nullptr) return;
  visitors.fetch_add(1);
  if (AllocationScope* scope = process_scope.load()) record(*scope);
  visitors.fetch_sub(1);
}

bool counting() {
  return thread_scope != nullptr || process_scope.load(std::memory_order_relaxed) != nullptr;
}

void allocated(std::size_t bytes) {
  for_each_scope([bytes](AllocationScope& scope) { scope.record_allocation(bytes); });
}

void released(std::size_t bytes) {
  for_each_scope([bytes](AllocationScope& scope) { scope.record_release(bytes); });
}

}  // namespace

AllocationScope::AllocationScope(Of of) : of_(of) {
  if (of_ == Of::thread) {
    if (thread_scope != nullptr) throw std::logic_error("this thread's allocations are counted");
    thread_scope = this;
    return;
  }
  AllocationScope* none = nullptr;
  if (!process_scope.compare_exchange_strong(none, this)) {
    throw std::logic_error("the process's allocations are counted already");
  }
}

AllocationScope::~AllocationScope() {
  if (of_ == Of::thread) {
    thread_scope = nullptr;
    return;
  }
  process_scope.store(nullptr);
  while (visitors.load() != 0) {
  }
}

AllocationCounts AllocationScope::counts() const {
  return {allocations_.load(), releases_.load(), bytes_.load(), peak_.load(), held_.load()};
}

bool AllocationScope::counts_mappings() {
#ifdef SUBQUAD_SANITIZED
  return false;
#else
  return true;
#endif
}

void AllocationScope::record_allocation(std::size_t bytes) {
  const auto amount = static_cast<std::int64_t>(bytes);
  allocations_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(amount, std::memory_order_relaxed);
  const std::int64_t held = held_.fetch_add(amount, std::memory_order_relaxed) + amount;
  std::int64_t peak = peak_.load(std::memory_order_relaxed);
  while (held > peak && !peak_.compare_exchange_weak(peak, held, std::memory_order_relaxed)) {
  }
}

void AllocationScope::record_release(std::size_t bytes) {
  releases_.fetch_add(1, std::memory_order_relaxed);
  held_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
}

}  // namespace subquad

#ifdef SUBQUAD_SANITIZED

extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                              void (*free_hook)(const volatile void*));
size_t __sanitizer_get_allocated_size(const volatile void* p);
}

namespace {

void malloc_hook(const volatile void*, size_t size) {
  if (subquad::counting()) subquad::allocated(size);
}
void free_hook(const volatile void* memory) {
  if (memory != nullptr && subquad::counting()) {
    subquad::released(__sanitizer_get_allocated_size(memory));
  }
}
[[maybe_unused]] const int installed =
    __sanitizer_install_malloc_and_free_hooks(malloc_hook, free_hook);

}  // namespace

#else

// The C library's own functions under their second names.
extern "C" {
void* __libc_malloc(size_t size) noexcept;
void* __libc_calloc(size_t count, size_t size) noexcept;
void* __libc_realloc(void* memory, size_t size) noexcept;
void* __libc_memalign(size_t alignment, size_t size) noexcept;
void __libc_free(void* memory) noexcept;
}

#define SUBQUAD_HOOK extern "C" __attribute__((visibility("default")))

namespace {

void* noted(void* memory) {
  if (memory != nullptr && subquad::counting()) subquad::allocated(malloc_usable_size(memory));
  return memory;
}

}  // namespace

SUBQUAD_HOOK void* malloc(size_t size) noexcept { return noted(__libc_malloc(size)); }

SUBQUAD_HOOK void* calloc(size_t count, size_t size) noexcept {
  return noted(__libc_calloc(count, size));
}

SUBQUAD_HOOK void free(void* memory) noexcept {
  if (memory != nullptr && subquad::counting()) subquad::released(malloc_usable_size(memory));
  __libc_free(memory);
}

SUBQUAD_HOOK void* realloc(void* memory, size_t size) noexcept {
  if (!subquad::counting()) return __libc_realloc(memory, size);
  const size_t before = memory != nullptr ? malloc_usable_size(memory) : 0;
  void* grown = __libc_realloc(memory, size);
  // On failure the old block stays; a size of 0 frees it.
  if (before != 0 && (grown != nullptr || size == 0)) subquad::released(before);
  return noted(grown);
}

SUBQUAD_HOOK void* memalign(size_t alignment, size_t size) noexcept {
  return noted(__libc_memalign(alignment, size));
}

SUBQUAD_HOOK void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return noted(__libc_memalign(alignment, size));
}

SUBQUAD_HOOK int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  const bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
  if (!power_of_two || alignment % sizeof(void*) != 0) return EINVAL;
  const int before = errno;  // POSIX: errno is left as it was
  void* block = noted(__libc_memalign(alignment, size));
  errno = before;
  if (block == nullptr) return ENOMEM;
  *memory = block;
  return 0;
}

SUBQUAD_HOOK void* mmap(void* address, size_t length, int protection, int flags, int file,
                        off_t offset) noexcept {
  const long mapped = syscall(SYS_mmap, address, length, protection, flags, file, offset);
  if (mapped != -1 && (flags & MAP_ANONYMOUS) != 0 && subquad::counting()) {
    subquad::allocated(length);
  }
  return reinterpret_cast<void*>(mapped);  // NOLINT(performance-no-int-to-ptr)
}

SUBQUAD_HOOK void* mmap64(void* address, size_t length, int protection, int flags, int file,
                          off64_t offset) noexcept {
  return mmap(address, length, protection, flags, file, offset);
}

SUBQUAD_HOOK int munmap(void* address, size_t length) noexcept {
  // Mappings of files were not counted when they were made; within a scope they are rare.
  if (subquad::counting()) subquad::released(length);
  return static_cast<int>(syscall(SYS_munmap, address, length));
}

#endif
