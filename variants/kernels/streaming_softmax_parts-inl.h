#pragma once

// What the streaming softmax works on: its operands, blocks of keys, and groups of queries with
// what each of them sees of a block.

#include <algorithm>
#include <cstdint>

#include "kernels/rowwise-inl.h"
#include "subquad/restriction.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// `SoftmaxOperands` for any element type.
template <class T>
struct SoftmaxInputs {
  MatrixView<const T> q, k, v;
  MatrixView<T> out;
  T* row_log_sum_exp = nullptr;
  bool merge = false;
  double scale = 1;
  bool causal = false;
  Index first_query = 0;
  /// Keys in blocks, as the products pack them, and which blocks have finite values only; or null.
  const T* packed_keys = nullptr;
  const std::uint8_t* finite_values = nullptr;
};

struct Interval {
  Index low, high;
  bool empty() const { return low >= high; }
  bool contains(const Interval& other) const { return low <= other.low && high >= other.high; }
};

/// Keys of one block, and which of them a query sees: lanes [low, high), both growing with the
/// query's position.
struct KeyBlock {
  Index count = 0;
  Interval within{0, 0};  ///< lanes that belong to the plan; others are there for alignment
  Index packed = -1;      ///< number of the block among the packed ones
  Rows span;              ///< unless `singles`
  const std::int32_t* singles = nullptr;
  Seen seen = Seen::all;
  Index below = 0, above = 0;

  Index key(Index lane) const { return singles ? singles[lane] : span[lane]; }
};

/// How many of first, first + step, ... lie at or below `limit`, `count` at the most.
inline Index count_up_to(Index limit, const Rows& keys) {
  if (limit < keys.begin) return 0;
  const Index distance = limit - keys.begin;
  return std::min(keys.count, (keys.step == 1 ? distance : distance / keys.step) + 1);
}

inline Interval visible(const KeyBlock& block, Index position, bool causal) {
  Interval lanes = block.within;
  if (block.singles) {
    if (causal) {
      lanes.high =
          std::upper_bound(block.singles, block.singles + block.count, position) - block.singles;
    }
    return lanes;
  }
  if (causal) lanes.high = std::min(lanes.high, count_up_to(position, block.span));
  if (block.seen == Seen::band) {
    lanes.high = std::min(lanes.high, count_up_to(position + block.above, block.span));
    lanes.low = std::max(lanes.low, count_up_to(position - block.below - 1, block.span));
  }
  return lanes;
}

/// Lanes between those that the query sees: where the band lies that `Seen::outside` excludes.
inline Interval excluded(const KeyBlock& block, Index position) {
  if (block.seen != Seen::outside) return {0, 0};
  return {count_up_to(position - block.below - 1, block.span),
          count_up_to(position + block.above, block.span)};
}

/// A few queries of a tile, against a block: which lanes they see, which whole vectors cover those.
struct Group {
  Index first;  ///< row of the tile
  Index rows;   ///< 1 to the products' kGroupRows
  Index slot;   ///< where its scores lie among those of the groups that are treated together
  Interval all, common;  ///< lanes that at least one row sees, that all of them see
  Index first_vector, vectors;
  bool masked;  ///< some row does not see all lanes of these vectors
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
