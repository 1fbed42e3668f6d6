#include "kernels/streaming_softmax.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/amx.h"
#include "kernels/amx_products-inl.h"
#include "kernels/bf16_products-inl.h"
#include "kernels/direct_products-inl.h"
#include "kernels/streaming_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Calls `body` with the type of the products for a precision.
template <class Body>
auto with_products(Precision precision, const Body& body) {
  switch (precision) {
    case Precision::f32:
      return body.template operator()<PlainProducts<float>>();
    case Precision::bf16_plain:
      return body.template operator()<Bf16Products>();
    case Precision::bf16:
      break;
  }
#if SUBQUAD_HAS_AMX
  if (amx_refusal().empty()) return body.template operator()<AmxProducts>();
#endif
  throw std::logic_error("products in bf16 were asked for though " + amx_refusal());
}

/// So few rows that packing keys for them takes longer than it saves.
bool reads_in_place(Index rows, Precision precision) {
  return precision == Precision::f32 && rows <= DirectProducts<float>::kMostRows;
}

void attend(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
            const ScoreEdit* edit, Worker& worker) {
  SoftmaxInputs<float> inputs{operands.q,
                              operands.k,
                              operands.v,
                              operands.out,
                              operands.row_log_sum_exp,
                              operands.merge,
                              operands.scale,
                              operands.causal,
                              operands.first_query,
                              operands.packed_keys,
                              operands.finite_values};
  if (reads_in_place(queries.count, operands.precision)) {
    inputs.packed_keys = nullptr;
    return attend_tile<DirectProducts<float>>(inputs, queries, plan, edit, worker);
  }
  with_products(operands.precision, [&]<class Products>() {
    attend_tile<Products>(inputs, queries, plan, edit, worker);
  });
}

std::size_t tile_bytes(Index rows, Index dim, Index value_dim, Precision precision) {
  if (reads_in_place(rows, precision)) {
    return SoftmaxTile<DirectProducts<float>>::bytes(rows, dim, value_dim);
  }
  return with_products(precision, [&]<class Products>() {
    return SoftmaxTile<Products>::bytes(rows, dim, value_dim);
  });
}

struct Blocks {
  Index length;    ///< keys of a block
  Index elements;  ///< floats of a packed block
  Index group;     ///< rows of queries that tiles should be multiples of

  Index count(Index keys) const { return (keys + length - 1) / length; }
};

Blocks blocks_of(Precision precision, Index dim, Index value_dim) {
  return with_products(precision, [&]<class Products>() {
    return Blocks{Products::kBlock, Products::packed_elements(dim, value_dim),
                  Products::kGroupRows};
  });
}

/// Packs block `number`; returns whether its values are finite.
bool pack_block(const SoftmaxOperands& operands, Index number, float* to) {
  return with_products(operands.precision, [&]<class Products>() {
    constexpr Index kBlock = Products::kBlock;
    const Index begin = number * kBlock;
    const Index count = std::min(kBlock, operands.k.rows - begin);
    const float *keys[kBlock], *values[kBlock];
    for (Index j = 0; j < count; ++j) {
      keys[j] = operands.k.row(begin + j);
      values[j] = operands.v.row(begin + j);
    }
    return Products::pack_block(keys, values, count, operands.k.cols, operands.v.cols, to);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE

void declare_packed_keys(Index keys, Index dim, Index value_dim, Precision precision,
                         Scratch& scratch) {
  const auto blocks = HWY_NAMESPACE::blocks_of(precision, dim, value_dim);
  scratch.shared<float>(blocks.count(keys) * blocks.elements);
  scratch.shared<std::uint8_t>(blocks.count(keys));
}

void pack_keys(SoftmaxOperands& operands, Run& run) {
  const auto blocks =
      HWY_NAMESPACE::blocks_of(operands.precision, operands.k.cols, operands.v.cols);
  const Index count = blocks.count(operands.k.rows);
  float* const keys = run.shared().take<float>(count * blocks.elements).data();
  std::uint8_t* const finite = run.shared().take<std::uint8_t>(count).data();
  constexpr Index kKeysPerTile = 512;
  const Index blocks_per_tile = kKeysPerTile / blocks.length;
  run.parallel((count + blocks_per_tile - 1) / blocks_per_tile, [&](Index tile, Worker&) {
    const Index end = std::min(count, (tile + 1) * blocks_per_tile);
    for (Index block = tile * blocks_per_tile; block < end; ++block) {
      finite[block] =
          HWY_STATIC_DISPATCH(pack_block)(operands, block, keys + block * blocks.elements);
    }
  });
  operands.packed_keys = keys;
  operands.finite_values = finite;
}

Index softmax_tile_rows(Index dim, Index value_dim, Precision precision) {
  // Enough rows to make the packing of a block cheap beside its use (2 % at 192; tile products are
  // four times as fast, and packing is not), but queries and outputs of the tile must leave most of
  // the second-level cache to keys and values.
  const Index most_rows = precision == Precision::bf16 ? 512 : 192;
  const Index most_elements = precision == Precision::bf16 ? 1 << 17 : 1 << 16;
  const Index group = HWY_NAMESPACE::blocks_of(precision, dim, value_dim).group;
  const Index rows = std::min(most_rows, most_elements / std::max<Index>(1, dim + value_dim));
  return std::max(group, rows / group * group);
}

Index softmax_tile_rows(Index queries, Index dim, Index value_dim, Precision precision) {
  const Index group = HWY_NAMESPACE::blocks_of(precision, dim, value_dim).group;
  const Index most = softmax_tile_rows(dim, value_dim, precision);
  const Index fewest = (queries + most - 1) / most;
  for (const Index multiple : {16, 8, 4, 2}) {
    const Index tiles = HWY_NAMESPACE::round_up(fewest, multiple);
    const Index rows = HWY_NAMESPACE::round_up((queries + tiles - 1) / tiles, group);
    if (2 * rows >= most) return rows;
  }
  return std::clamp<Index>(queries, 1, most);
}

std::size_t softmax_scratch_bytes(Index rows, Index dim, Index value_dim, Precision precision) {
  return HWY_STATIC_DISPATCH(tile_bytes)(rows, dim, value_dim, precision);
}

void streaming_softmax(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                       const ScoreEdit* edit, Worker& worker) {
  HWY_STATIC_DISPATCH(attend)(operands, queries, plan, edit, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
