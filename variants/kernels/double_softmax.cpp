#include "kernels/double_softmax.h"

#include <algorithm>

#include "kernels/streaming_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

void attend(const DoubleSoftmax& operands, Worker& worker) {
  const SoftmaxInputs<double> inputs{.q = operands.q,
                                     .k = operands.k,
                                     .v = operands.v,
                                     .out = operands.out,
                                     .row_log_sum_exp = operands.row_log_sum_exp,
                                     .merge = operands.merge,
                                     .scale = operands.scale};
  KeySpan spans[1];
  KeyPlan plan(operands.k.rows, spans, {});
  plan.all(0, operands.k.rows);
  attend_tile<PlainProducts<double>>(inputs, {0, operands.q.rows}, plan, nullptr, worker);
}

std::size_t tile_bytes(Index queries, Index dim, Index value_dim) {
  return SoftmaxTile<PlainProducts<double>>::bytes(queries, dim, value_dim);
}

}  // namespace
}  // namespace HWY_NAMESPACE

void double_softmax(const DoubleSoftmax& operands, Worker& worker) {
  HWY_STATIC_DISPATCH(attend)(operands, worker);
}

std::size_t double_softmax_scratch_bytes(Index queries, Index dim, Index value_dim) {
  return HWY_STATIC_DISPATCH(tile_bytes)(queries, dim, value_dim);
}

MatrixView<double> widened(ConstView rows, Worker& worker) {
  const MatrixView<double> wide(worker.scratch.take<double>(rows.rows * rows.cols).data(),
                                rows.rows, rows.cols);
  for (Index i = 0; i < rows.rows; ++i) std::copy_n(rows.row(i), rows.cols, wide.row(i));
  return wide;
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
