#include "kernels/streaming_softmax.h"

#include <algorithm>

#include "kernels/streaming_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

void attend_floats(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                   const ScoreEdit* edit, Worker& worker) {
  const SoftmaxInputs<float> inputs{operands.q,
                                    operands.k,
                                    operands.v,
                                    operands.out,
                                    operands.row_log_sum_exp,
                                    operands.scale,
                                    operands.causal,
                                    operands.first_query,
                                    operands.packed_keys,
                                    operands.finite_values};
  attend_tile<PlainProducts<float>>(inputs, queries, plan, edit, worker);
}

/// Packs block `number`; returns whether its values are finite.
bool pack_block(const SoftmaxOperands& operands, Index number, float* to) {
  constexpr Index kBlock = PlainProducts<float>::kBlock;
  const Index begin = number * kBlock;
  const Index count = std::min(kBlock, operands.k.rows - begin);
  const float* lines[kBlock];
  for (Index j = 0; j < count; ++j) lines[j] = operands.k.row(begin + j);
  pack_transposed<float>(lines, count, operands.k.cols, to);
  for (Index j = 0; j < count; ++j) {
    if (!all_finite<float>(operands.v.row(begin + j), operands.v.cols)) return false;
  }
  return true;
}

Index packed_blocks(Index keys) {
  return (keys + PlainProducts<float>::kBlock - 1) / PlainProducts<float>::kBlock;
}
Index packed_floats(Index dim) { return PlainProducts<float>::kBlock * dim; }

}  // namespace
}  // namespace HWY_NAMESPACE

void declare_packed_keys(Index keys, Index dim, Scratch& scratch) {
  const Index blocks = HWY_NAMESPACE::packed_blocks(keys);
  scratch.shared<float>(blocks * HWY_NAMESPACE::packed_floats(dim));
  scratch.shared<std::uint8_t>(blocks);
}

void pack_keys(SoftmaxOperands& operands, Run& run) {
  const Index blocks = HWY_NAMESPACE::packed_blocks(operands.k.rows);
  const Index floats = HWY_NAMESPACE::packed_floats(operands.k.cols);
  float* const keys = run.shared().take<float>(blocks * floats).data();
  std::uint8_t* const finite = run.shared().take<std::uint8_t>(blocks).data();
  constexpr Index kBlocksPerTile = 8;
  run.parallel((blocks + kBlocksPerTile - 1) / kBlocksPerTile, [&](Index tile, Worker&) {
    const Index end = std::min(blocks, (tile + 1) * kBlocksPerTile);
    for (Index block = tile * kBlocksPerTile; block < end; ++block) {
      finite[block] = HWY_STATIC_DISPATCH(pack_block)(operands, block, keys + block * floats);
    }
  });
  operands.packed_keys = keys;
  operands.finite_values = finite;
}

Index softmax_tile_rows(Index dim, Index value_dim) {
  using HWY_NAMESPACE::kMicroRows;
  // Enough rows to make the packing of a block cheap beside its use (2 % at 192), but queries and
  // outputs of the tile must leave most of the second-level cache to keys and values.
  constexpr Index kMostRows = 192;
  constexpr Index kMostElements = 1 << 16;
  const Index rows = std::min(kMostRows, kMostElements / std::max<Index>(1, dim + value_dim));
  return std::max<Index>(kMicroRows, rows / kMicroRows * kMicroRows);
}

Index softmax_tile_rows(Index queries, Index dim, Index value_dim) {
  const Index most = softmax_tile_rows(dim, value_dim);
  const Index fewest = (queries + most - 1) / most;
  for (const Index multiple : {16, 8, 4, 2}) {
    const Index tiles = HWY_NAMESPACE::round_up(fewest, multiple);
    const Index rows =
        HWY_NAMESPACE::round_up((queries + tiles - 1) / tiles, HWY_NAMESPACE::kMicroRows);
    if (2 * rows >= most) return rows;
  }
  return std::clamp<Index>(queries, 1, most);
}

std::size_t softmax_scratch_bytes(Index rows, Index dim, Index value_dim) {
  return HWY_NAMESPACE::SoftmaxTile<HWY_NAMESPACE::PlainProducts<float>>::bytes(rows, dim,
                                                                                value_dim);
}

void streaming_softmax(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                       const ScoreEdit* edit, Worker& worker) {
  HWY_STATIC_DISPATCH(attend_floats)(operands, queries, plan, edit, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
