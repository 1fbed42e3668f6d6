#pragma once

// Drawing without replacement, for initialisers of tensors.

#include <cstdint>
#include <span>

#include "subquad/random.h"

namespace subquad {

/// Fills `drawn` with different numbers below `limit` (at least as many), ascending: each number in
/// turn is taken with the share of what is still to be taken in what is left, which makes all
/// subsets equally likely.
inline void draw_ascending(Generator& random, Index limit, std::span<std::int32_t> drawn) {
  for (Index number = 0; !drawn.empty(); ++number) {
    if (random.below(limit - number) >= static_cast<Index>(drawn.size())) continue;
    drawn.front() = static_cast<std::int32_t>(number);
    drawn = drawn.subspan(1);
  }
}

}  // namespace subquad
