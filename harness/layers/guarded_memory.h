#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace subquad {

/// A block that starts on a cache line, with guard bytes on both sides that nobody may write to.
/// Contents start undefined; no bytes, no block. Throws std::bad_alloc.
std::byte* allocate_guarded(std::size_t bytes);
void release_guarded(std::byte* block, std::size_t bytes) noexcept;
/// False once something was written beside the block. Under AddressSanitizer such a write ends the
/// program instead.
bool guards_intact(const std::byte* block, std::size_t bytes);

/// Owns such a block.
class GuardedMemory {
 public:
  GuardedMemory() = default;
  explicit GuardedMemory(std::size_t bytes) : data_(allocate_guarded(bytes)), bytes_(bytes) {}
  GuardedMemory(GuardedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  GuardedMemory& operator=(GuardedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~GuardedMemory() { release_guarded(data_, bytes_); }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool intact() const { return guards_intact(data_, bytes_); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// For containers whose elements a variant writes.
template <class T>
struct GuardedAllocator {
  using value_type = T;

  GuardedAllocator() = default;
  template <class Other>
  explicit GuardedAllocator(const GuardedAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    return reinterpret_cast<T*>(allocate_guarded(count * sizeof(T)));
  }
  void deallocate(T* block, std::size_t count) noexcept {
    release_guarded(reinterpret_cast<std::byte*>(block), count * sizeof(T));
  }
  friend bool operator==(const GuardedAllocator&, const GuardedAllocator&) { return true; }
};

}  // namespace subquad
