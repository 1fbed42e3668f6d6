#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "subquad/random.h"

namespace subquad {

/// Order of so many points in one round: the same whenever a run is repeated.
inline std::vector<std::size_t> shuffled(std::size_t count, int round) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Generator random(static_cast<std::uint64_t>(round), count);
  for (std::size_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<Index>(i)))]);
  }
  return order;
}

}  // namespace subquad
