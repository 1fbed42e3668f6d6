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

/// Writes the numbers of the `chosen.size()` largest scores, at most all, in ascending order.
/// `order` is scratch, as long as `scores`. Scores that are NaN, which no order can place, are set
/// to -infinity.
void choose_largest(std::span<float> scores, std::span<std::int32_t> order,
                    std::span<std::int32_t> chosen);

}  // namespace subquad
