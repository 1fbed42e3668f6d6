#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Products of small and middle-sized matrices on one thread, by register-blocked micro-kernels:
/// what every variant uses for projections, feature maps, states and scores. All of them compute
/// c = alpha * (product) or, with `accumulate`, c += alpha * (product), and add their multiply-adds
/// to `worker.executed`. In double for what single precision cannot decide: oracles,
/// decompositions.

/// Worker scratch that a product of T with these extents takes at the most (packed panels).
template <class T = float>
std::size_t product_scratch_bytes(Index m, Index n, Index k);

/// c [m, n] from a [m, k] and b [k, n].
void multiply(ConstView a, ConstView b, View c, Worker& worker, float alpha = 1,
              bool accumulate = false);
void multiply(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
              Worker& worker, double alpha = 1, bool accumulate = false);
/// c [m, n] from a [m, k] and b [n, k]: a b^T.
void multiply_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha = 1,
                         bool accumulate = false);
void multiply_transposed(MatrixView<const double> a, MatrixView<const double> b,
                         MatrixView<double> c, Worker& worker, double alpha = 1,
                         bool accumulate = false);
/// A right operand b [n, k] that is packed once for many products a b^T. The memory is the
/// caller's.
struct PackedRight {
  const float* panels = nullptr;
  Index rows = 0;   ///< of b: columns of a product
  Index depth = 0;  ///< k
};
std::size_t packed_right_bytes(Index n, Index k);
/// `to` has packed_right_bytes(b.rows, b.cols) bytes, and outlives what is returned.
PackedRight pack_right(ConstView b, float* to);
/// Rows that products take together, as far as they go. Where the number of rows of `a` is a
/// multiple of it, an element of c has its terms summed in an order that does not depend on that
/// number: so a product cut by rows gives the same bits.
inline constexpr Index kProductRows = 6;
/// c [m, c.cols] = a [m, k] b^T, with rows [first_row, first_row + c.cols) of b. Takes no scratch.
void multiply_packed(ConstView a, const PackedRight& b, Index first_row, View c, Worker& worker);
/// c [m, n] from a [k, m] and b [k, n]: a^T b.
void multiply_left_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha = 1,
                              bool accumulate = false);
void multiply_left_transposed(MatrixView<const double> a, MatrixView<const double> b,
                              MatrixView<double> c, Worker& worker, double alpha = 1,
                              bool accumulate = false);

}  // namespace subquad
