#pragma once

#include <cstdint>
#include <span>

#include "subquad/variant.h"

namespace subquad {

/// The keys of a query that are not far: a window around its position, or its block.
struct NearKeys {
  Index radius = 0;  ///< of the window: |position - j| <= radius
  /// Where there are any, in the place of the window: queries, and keys, in some order are cut into
  /// so many parts of equal length, and a query's are those of the part of the same number.
  Index blocks = 0;

  /// First of a block's places, out of `count`.
  Index begin_of_block(Index count, Index block) const { return block * count / blocks; }
};

/// Attention by positive random features (random_features.h) over the far keys, merged by
/// log-sum-exp into what is known of the near ones:
///
///   out_i, log_i  <-  over all seen j that are far from i, weights phi(q_i) . phi(k_j)
///
/// Keys before a query's near ones are summed in a state that is carried from chunk to chunk of
/// queries, and those of a chunk that only some of its queries have behind them are reached by a
/// triangular product; keys after the near ones likewise, in reverse, unless causal. States have a
/// scale of their own, so no sum is a difference and none overflows. Time O(n features d), memory
/// O(features value_dim).
struct FarAttention {
  ConstView directions;  ///< [features, dim]
  NearKeys near;
  /// With blocks: the queries, and keys, by place. Not causal, then.
  std::span<const std::int32_t> query_order, key_order;

  static Scratch scratch(const Problem& problem, Index features, const NearKeys& near);
  /// Whether any query has a far key.
  static bool any(const Problem& problem, const NearKeys& near);
  /// Multiply-adds that are asked for.
  static double multiply_adds(const Problem& problem, Index features, const NearKeys& near);
  /// Merges into `out` of the call and `log_sum_exp` [queries]; -infinity stands for nothing yet.
  void merge(const Call& call, std::span<float> log_sum_exp) const;
};

}  // namespace subquad
