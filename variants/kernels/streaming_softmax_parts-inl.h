#pragma once

// What the streaming softmax works on: its operands, blocks of keys with what each query sees of
// them, and the buffers of a tile.

#include <algorithm>
#include <cstdint>

#include "kernels/product-inl.h"
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
  double scale = 1;
  bool causal = false;
  Index first_query = 0;
};

/// Keys of one block, and which of them a query sees: lanes [low, high), both growing with the
/// query's position.
struct KeyBlock {
  Index count = 0;
  Rows span;  ///< unless `singles`
  const std::int32_t* singles = nullptr;
  Seen seen = Seen::all;
  Index below = 0, above = 0;

  Index key(Index lane) const { return singles ? singles[lane] : span[lane]; }
};

struct Interval {
  Index low, high;
  bool empty() const { return low >= high; }
  bool contains(const Interval& other) const { return low <= other.low && high >= other.high; }
};

/// How many of first, first + step, ... lie at or below `limit`, `count` at the most.
inline Index count_up_to(Index limit, const Rows& keys) {
  if (limit < keys.begin) return 0;
  const Index distance = limit - keys.begin;
  return std::min(keys.count, (keys.step == 1 ? distance : distance / keys.step) + 1);
}

inline Interval visible(const KeyBlock& block, Index position, bool causal) {
  Interval lanes{0, block.count};
  if (block.singles) {
    if (causal) {
      lanes.high =
          std::upper_bound(block.singles, block.singles + block.count, position) - block.singles;
    }
    return lanes;
  }
  if (causal) lanes.high = count_up_to(position, block.span);
  if (block.seen == Seen::band) {
    lanes.high = std::min(lanes.high, count_up_to(position + block.above, block.span));
    lanes.low = count_up_to(position - block.below - 1, block.span);
  }
  return lanes;
}

/// Buffers of one tile, taken from the worker's arena.
template <class T>
struct SoftmaxBuffers {
  static constexpr Index kBlock = kPanelColumns;

  SoftmaxBuffers(Arena& arena, Index rows, Index dim, Index value_dim)
      : value_stride(round_up(value_dim, kLanes<T>)) {
    rows = round_up(rows, kMicroRows);
    queries = arena.take<T>(rows * dim).data();
    outputs = arena.take<T>(rows * value_stride).data();
    maxima = arena.take<T>(rows).data();
    sums = arena.take<T>(rows * kLanes<T>).data();
    keys = arena.take<T>(kBlock * dim).data();
    values = arena.take<T>(kBlock * value_stride).data();
    scores = arena.take<T>(kMicroRows * kBlock).data();
    lines = arena.take<const T*>(kBlock).data();
    key_rows = arena.take<std::int32_t>(kBlock).data();
  }

  static std::size_t bytes(Index rows, Index dim, Index value_dim) {
    rows = round_up(rows, kMicroRows);
    const Index value_stride = round_up(value_dim, kLanes<T>);
    return Scratch()
        .worker<T>(rows * dim)
        .template worker<T>(rows * value_stride)
        .template worker<T>(rows)
        .template worker<T>(rows * kLanes<T>)
        .template worker<T>(kBlock * dim)
        .template worker<T>(kBlock * value_stride)
        .template worker<T>(kMicroRows * kBlock)
        .template worker<const T*>(kBlock)
        .template worker<std::int32_t>(kBlock)
        .worker_bytes;
  }

  Index value_stride;
  T* queries;              ///< [rows, dim], scaled
  T* outputs;              ///< [rows, value_stride], not yet divided by the sums
  T* maxima;               ///< [rows], of scores in units of log2
  T* sums;                 ///< [rows, lanes]: partial sums of exponentials
  T* keys;                 ///< [dim, kBlock]: the block's keys, transposed
  T* values;               ///< [kBlock, value_stride]
  T* scores;               ///< [kMicroRows, kBlock]: of one group, then its exponentials
  const T** lines;         ///< [kBlock]: rows of K, then of V
  std::int32_t* key_rows;  ///< [kBlock]: their numbers, for a ScoreEdit
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
