#include "kernels/triangular.h"

#include <algorithm>

#include "kernels/product.h"

namespace subquad {
namespace {

/// Rows that share one rectangular product; what is left of each row, on average half as many
/// elements, is added one at a time.
constexpr Index kBlock = 8;

/// The longest inner extent of one product: packed panels stay small, whatever the length.
constexpr Index kDepth = 512;

void clear(View c) {
  for (Index i = 0; i < c.rows; ++i) std::fill_n(c.row(i), c.cols, 0.0f);
}

void add_row(const float* b, float factor, Index n, float* c) {
  for (Index j = 0; j < n; ++j) c[j] += factor * b[j];
}

}  // namespace

std::size_t multiply_lower_scratch_bytes(Index m, Index n, Index k, Index diagonal) {
  const Index last_block = (m - 1) / kBlock * kBlock;
  const Index whole = std::clamp<Index>(diagonal + last_block + 1, 0, k);
  return whole == 0 ? 0 : product_scratch_bytes(std::min(m, kBlock), n, std::min(whole, kDepth));
}

void multiply_lower(ConstView a, ConstView b, View c, Index diagonal, Worker& worker,
                    bool accumulate) {
  if (!accumulate) clear(c);
  for (Index first = 0; first < c.rows; first += kBlock) {
    const Index rows = std::min(kBlock, c.rows - first);
    const Index whole = std::clamp<Index>(diagonal + first + 1, 0, a.cols);
    for (Index begin = 0; begin < whole; begin += kDepth) {
      const Index depth = std::min(kDepth, whole - begin);
      multiply(a.row_range(first, rows).col_range(begin, depth), b.row_range(begin, depth),
               c.row_range(first, rows), worker, 1, true);
    }
    for (Index i = first; i < first + rows; ++i) {
      const Index end = std::clamp<Index>(diagonal + i + 1, whole, a.cols);
      for (Index j = whole; j < end; ++j) add_row(b.row(j), a(i, j), c.cols, c.row(i));
      worker.executed.multiply_adds += static_cast<double>((end - whole) * c.cols);
    }
  }
}

}  // namespace subquad
