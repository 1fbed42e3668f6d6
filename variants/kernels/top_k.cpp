#include "kernels/top_k.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace subquad {

void largest_first(std::span<float> scores, Index count, std::span<std::int32_t> order) {
  for (float& score : scores) {
    if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  }
  std::iota(order.begin(), order.end(), 0);
  if (count < static_cast<Index>(order.size())) {
    std::nth_element(order.begin(), order.begin() + count, order.end(), LargerScore{scores.data()});
  }
}

void choose_largest(std::span<float> scores, std::span<std::int32_t> order,
                    std::span<std::int32_t> chosen) {
  const auto count = static_cast<Index>(chosen.size());
  largest_first(scores, count, order);
  std::sort(order.begin(), order.begin() + count);
  std::copy_n(order.begin(), count, chosen.begin());
}

}  // namespace subquad
