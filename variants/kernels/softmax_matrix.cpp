#include "kernels/softmax_matrix.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/product.h"

namespace subquad {
namespace {

constexpr Index kTileRows = 64;

Index tile_count(Index rows) { return (rows + kTileRows - 1) / kTileRows; }

void widen(ConstView from, MatrixView<double> to) {
  for (Index i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

MatrixView<const double> widened(ConstView from, Run& run) {
  const MatrixView<double> to(run.shared().take<double>(from.rows * from.cols).data(), from.rows,
                              from.cols);
  run.parallel(tile_count(from.rows), [&](Index tile, Worker&) {
    const Index begin = tile * kTileRows, count = std::min(kTileRows, from.rows - begin);
    widen(from.row_range(begin, count), to.row_range(begin, count));
  });
  return to;
}

void softmax(double* row, Index count) {
  const double largest = *std::max_element(row, row + count);
  double sum = 0;
  for (Index j = 0; j < count; ++j) sum += row[j] = std::exp(row[j] - largest);
  for (Index j = 0; j < count; ++j) row[j] /= sum;
}

}  // namespace

SoftmaxMatrix softmax_matrix(const Call& call) {
  const Problem& problem = call.problem;
  const MatrixView<const double> keys = widened(call.k, call.run);
  const MatrixView<const double> values = widened(call.v, call.run);
  const MatrixView<double> weights(
      call.run.shared().take<double>(problem.queries * problem.keys).data(), problem.queries,
      problem.keys);
  call.run.parallel(tile_count(problem.queries), [&](Index tile, Worker& worker) {
    const Index begin = tile * kTileRows, count = std::min(kTileRows, problem.queries - begin);
    const MatrixView<double> queries(worker.scratch.take<double>(kTileRows * problem.dim).data(),
                                     count, problem.dim);
    widen(call.q.row_range(begin, count), queries);
    const MatrixView<double> rows = weights.row_range(begin, count);
    multiply_transposed(queries, keys, rows, worker, problem.score_scale());
    for (Index i = 0; i < count; ++i) softmax(rows.row(i), rows.cols);
    worker.executed.exponentials += static_cast<double>(count * rows.cols);
  });
  const MatrixView<double> out(
      call.run.shared().take<double>(problem.queries * problem.value_dim).data(), problem.queries,
      problem.value_dim);
  return {weights, values, out};
}

void round_to(View to, MatrixView<const double> from) {
  for (Index i = 0; i < from.rows; ++i) {
    for (Index c = 0; c < from.cols; ++c) to(i, c) = static_cast<float>(from(i, c));
  }
}

Scratch softmax_matrix_scratch(const Problem& problem) {
  Scratch scratch;
  scratch.shared<double>(problem.keys * problem.dim)
      .shared<double>(problem.keys * problem.value_dim)
      .shared<double>(problem.queries * problem.keys)
      .shared<double>(problem.queries * problem.value_dim)
      .worker<double>(kTileRows * problem.dim);
  scratch.worker_bytes += product_scratch_bytes<double>(kTileRows, problem.keys, problem.dim);
  return scratch;
}

std::string refuses_softmax_matrix(const Problem& problem) {
  const Index longest = std::max(problem.queries, problem.keys);
  if (longest > kSoftmaxMatrixLength) {
    return "decomposes the whole attention matrix, of at most " +
           std::to_string(kSoftmaxMatrixLength) + " queries and keys, not " +
           std::to_string(longest);
  }
  if (problem.causal && problem.position(0) + 1 < problem.keys) {
    return "the best matrix of a rank mixes all rows, so nothing can be causal";
  }
  return {};
}

}  // namespace subquad
