#pragma once

#include <memory>

#include "subquad/run.h"

namespace subquad {

/// Worker scratch for what has no run: the steps of a stream. It is made with the stream, so that
/// steps allocate nothing; what it holds is nobody's, so a copy has its own, unwritten.
class LoneWorker {
 public:
  explicit LoneWorker(std::size_t bytes)
      : bytes_(padded_bytes(bytes)),
        memory_(std::make_unique_for_overwrite<std::byte[]>(bytes_ + kArenaAlignment)) {}
  LoneWorker(const LoneWorker& other) : LoneWorker(other.bytes_) {}

  /// With all of the scratch; of use until the next call.
  Worker worker() const {
    void* begin = memory_.get();
    std::size_t space = bytes_ + kArenaAlignment;
    std::align(kArenaAlignment, bytes_, begin, space);
    return {.scratch = Arena(static_cast<std::byte*>(begin), bytes_), .executed = {}};
  }

 private:
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> memory_;
};

}  // namespace subquad
