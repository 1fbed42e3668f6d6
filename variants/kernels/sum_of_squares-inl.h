#pragma once

#include <cstddef>
#include <span>

namespace subquad {

/// In double, which no float's square overflows. Eight sums side by side, so that additions do not
/// wait for one another.
inline double sum_of_squares(std::span<const float> row) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t j = 0;
  for (; j + kSums <= row.size(); j += kSums) {
    for (std::size_t part = 0; part < kSums; ++part) {
      const double value = row[j + part];
      sums[part] += value * value;
    }
  }
  double total = 0;
  for (; j < row.size(); ++j) total += double{row[j]} * row[j];
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace subquad
