#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace subquad {

/// Owns a block of memory that starts on a cache line. Contents start undefined.
class AlignedMemory {
 public:
  static constexpr std::align_val_t kAlignment{64};

  AlignedMemory() = default;
  explicit AlignedMemory(std::size_t bytes)
      : data_(bytes > 0 ? static_cast<std::byte*>(::operator new(bytes, kAlignment)) : nullptr),
        bytes_(bytes) {}
  AlignedMemory(AlignedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedMemory& operator=(AlignedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedMemory() { ::operator delete(data_, kAlignment); }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace subquad
