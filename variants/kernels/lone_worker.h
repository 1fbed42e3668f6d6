#pragma once

#include <memory>
#include <vector>

#include "subquad/run.h"

namespace subquad {

/// Worker scratch for what has no run: the steps of a stream.
class LoneWorker {
 public:
  /// With so much scratch, of undefined contents; of use until the next call.
  Worker with(std::size_t bytes) {
    const std::size_t needed = padded_bytes(bytes) + kArenaAlignment;
    if (memory_.size() < needed) memory_.resize(needed);
    void* begin = memory_.data();
    std::size_t space = memory_.size();
    std::align(kArenaAlignment, padded_bytes(bytes), begin, space);
    return {.scratch = Arena(static_cast<std::byte*>(begin), padded_bytes(bytes)), .executed = {}};
  }

 private:
  std::vector<std::byte> memory_;
};

}  // namespace subquad
