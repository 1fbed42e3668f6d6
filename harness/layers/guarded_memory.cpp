#include "layers/guarded_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define SUBQUAD_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SUBQUAD_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef SUBQUAD_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace subquad {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kGuardBytes = 64;
// Neither zero nor a number that a computation is likely to leave: as float32 it is -3.0e-13.
constexpr auto kPattern = std::byte{0xAB};

#ifdef SUBQUAD_ADDRESS_SANITIZER
void guard(std::byte* bytes) { __asan_poison_memory_region(bytes, kGuardBytes); }
void unguard(std::byte* bytes) { __asan_unpoison_memory_region(bytes, kGuardBytes); }
bool is_guard(const std::byte*) { return true; }
#else
void guard(std::byte* bytes) { std::memset(bytes, static_cast<int>(kPattern), kGuardBytes); }
void unguard(std::byte*) {}
bool is_guard(const std::byte* bytes) {
  return std::all_of(bytes, bytes + kGuardBytes, [](std::byte b) { return b == kPattern; });
}
#endif

}  // namespace

std::byte* allocate_guarded(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes > SIZE_MAX - 2 * kGuardBytes) throw std::bad_alloc();
  auto* const whole = static_cast<std::byte*>(::operator new(bytes + 2 * kGuardBytes, kAlignment));
  std::byte* const block = whole + kGuardBytes;
  guard(whole);
  guard(block + bytes);
  return block;
}

void release_guarded(std::byte* block, std::size_t bytes) noexcept {
  if (block == nullptr) return;
  unguard(block - kGuardBytes);
  unguard(block + bytes);
  ::operator delete(block - kGuardBytes, kAlignment);
}

bool guards_intact(const std::byte* block, std::size_t bytes) {
  return block == nullptr || (is_guard(block - kGuardBytes) && is_guard(block + bytes));
}

}  // namespace subquad
