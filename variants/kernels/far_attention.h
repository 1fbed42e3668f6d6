#pragma once

#include <span>

#include "subquad/variant.h"

namespace subquad {

/// Attention by positive random features (random_features.h) over the keys that lie more than
/// `radius` away from a query's position, merged by log-sum-exp into what is known of the others:
///
///   out_i, log_i  <-  over all seen j with |position(i) - j| > radius, weights phi(q_i) . phi(k_j)
///
/// Keys before a query's window are summed in a state that is carried from chunk to chunk of
/// queries, and those of a chunk that only some of its queries have behind them are reached by a
/// triangular product; keys after it likewise, in reverse, unless causal. States have a scale of
/// their own, so no sum is a difference and none overflows. Time O(n features d), memory O(features
/// value_dim).
struct FarAttention {
  ConstView directions;  ///< [features, dim]
  Index radius;

  static Scratch scratch(const Problem& problem, Index features);
  /// Whether any query has a key so far away.
  static bool any(const Problem& problem, Index radius);
  /// Multiply-adds that are asked for.
  static double multiply_adds(const Problem& problem, Index features, Index radius);
  /// Merges into `out` of the call and `log_sum_exp` [queries]; -infinity stands for nothing yet.
  void merge(const Call& call, std::span<float> log_sum_exp) const;
};

}  // namespace subquad
