#pragma once

#include <cstdint>
#include <span>

#include "subquad/view.h"

namespace subquad {

/// The order that picks the largest: by score, of equal scores the earlier number first.
struct LargerScore {
  const float* scores;
  bool operator()(std::int32_t a, std::int32_t b) const {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  }
};

/// Writes the numbers 0 ... scores.size() - 1 to `order` (as long as `scores`), the `count` first
/// under `LargerScore` before all others, in no order otherwise. Scores that are NaN, which no
/// order can place, are set to -infinity. `count` is at most the number of scores.
void largest_first(std::span<float> scores, Index count, std::span<std::int32_t> order);

/// Writes the numbers of the `chosen.size()` largest scores, ascending; `order` is scratch.
void choose_largest(std::span<float> scores, std::span<std::int32_t> order,
                    std::span<std::int32_t> chosen);

}  // namespace subquad
