#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// The streaming softmax (streaming_softmax.h) with operands, weights and sums in double: a fifth
/// as fast, for what is multiplied by the inverse of an ill-conditioned matrix afterwards. Every
/// query sees every key.
struct DoubleSoftmax {
  MatrixView<const double> q;         ///< [queries, dim]
  MatrixView<const double> k;         ///< [keys, dim]
  MatrixView<const double> v;         ///< [keys, value_dim]
  MatrixView<double> out;             ///< [queries, value_dim]
  double* row_log_sum_exp = nullptr;  ///< [queries] or null
  bool merge = false;  ///< `out` and `row_log_sum_exp` hold the result over other keys already
  double scale = 1;
};

/// All queries as one tile: some dozens.
void double_softmax(const DoubleSoftmax& operands, Worker& worker);
/// Worker scratch that it takes.
std::size_t double_softmax_scratch_bytes(Index queries, Index dim, Index value_dim);

/// Rows to double, into worker scratch.
MatrixView<double> widened(ConstView rows, Worker& worker);

}  // namespace subquad
