#include "kernels/streaming_softmax.h"

#include <algorithm>

#include "kernels/streaming_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

void attend_floats(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                   const ScoreEdit* edit, Worker& worker) {
  const SoftmaxInputs<float> inputs{
      operands.q,     operands.k,      operands.v,          operands.out, operands.row_log_sum_exp,
      operands.scale, operands.causal, operands.first_query};
  attend_tile(inputs, queries, plan, edit, worker);
}

}  // namespace
}  // namespace HWY_NAMESPACE

Index softmax_tile_rows(Index dim, Index value_dim) {
  using HWY_NAMESPACE::kMicroRows;
  // Enough rows to make the packing of a block cheap beside its use (2 % at 192), but queries and
  // outputs of the tile must leave most of the second-level cache to keys and values.
  constexpr Index kMostRows = 192;
  constexpr Index kMostElements = 1 << 16;
  const Index rows = std::min(kMostRows, kMostElements / std::max<Index>(1, dim + value_dim));
  return std::max<Index>(kMicroRows, rows / kMicroRows * kMicroRows);
}

std::size_t softmax_scratch_bytes(Index rows, Index dim, Index value_dim) {
  return HWY_NAMESPACE::SoftmaxBuffers<float>::bytes(rows, dim, value_dim);
}

void streaming_softmax(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                       const ScoreEdit* edit, Worker& worker) {
  HWY_STATIC_DISPATCH(attend_floats)(operands, queries, plan, edit, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
