#pragma once

// Asking for rows ahead of their use.

#include <cstdint>
#include <span>

#include "hwy/cache_control.h"
#include "subquad/view.h"

namespace subquad {

/// Begins to load the listed rows of a matrix. Rows that lie anywhere (in order of a hash, say) are
/// no pattern that a processor would foresee, and where each of them is waited for in turn, that
/// takes longer than the work on it. Inlined by force: a compiler that sees no effect of a call
/// drops it.
HWY_INLINE void prefetch_rows(ConstView matrix, std::span<const std::int32_t> rows) {
  constexpr Index kLine = 64 / sizeof(float);
  if (matrix.cols == 0) return;
  for (const std::int32_t row : rows) {
    const float* const begin = matrix.row(row);
    for (Index c = 0; c < matrix.cols; c += kLine) hwy::Prefetch(begin + c);
    hwy::Prefetch(begin + matrix.cols - 1);
  }
}

/// Rows that are needed soon, asked for a few at a time between other work: in one go they would
/// wait for one another, and the work for them. They go to the second-level cache.
class RowsAhead {
 public:
  RowsAhead() = default;
  explicit RowsAhead(ConstView first, ConstView second = {}, ConstView third = {})
      : matrices_{first, second, third} {}

  /// The next `count` rows of each.
  HWY_INLINE void ask(Index count) {
    constexpr Index kLine = 64 / sizeof(float);
    for (const ConstView& matrix : matrices_) {
      const Index end = next_ + count < matrix.rows ? next_ + count : matrix.rows;
      for (Index i = next_; i < end; ++i) {
        for (Index c = 0; c < matrix.cols; c += kLine) __builtin_prefetch(matrix.row(i) + c, 0, 2);
      }
    }
    next_ += count;
  }

 private:
  ConstView matrices_[3];
  Index next_ = 0;
};

}  // namespace subquad
