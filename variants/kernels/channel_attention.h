#pragma once

#include "subquad/variant.h"

namespace subquad {

/// Which pairs (position, key) have a bias of their own; all others have 0.
enum class ChannelBias { all, band, none };

/// Weighted means of values, channel by channel (Zhai et al. 2021, arXiv:2105.14103, equation 2):
///
///   out_t = sigmoid(q_t) * sum_j exp(k_j + w_tj) * v_j / sum_j exp(k_j + w_tj)
///
/// Keys go in tiles. A tile in which w is 0 for all pairs enters by its sum alone; any other is a
/// matrix product of exp(w) with [exp(k), exp(k) v]. The causal tile that holds the queries
/// themselves is walked key by key under a running maximum, so that nothing of a later key is ever
/// touched. k is taken relative to its channel's maximum, over the keys so far if causal, and w to
/// its row's; an element whose normaliser falls out of float's range all the same is summed again
/// term by term, in double.
struct ChannelAttention {
  ChannelBias bias;
  /// all: [positions, keys]; band: [positions, 2 window - 1], column key - position + window - 1.
  ConstView bias_values;
  Index window;  ///< band: pairs less than this apart have a bias

  /// With the bias values or without them.
  Scratch scratch(const Problem& problem) const;
  /// Reads q, k, v, problem and run of the call, and writes its `out`. dim is value_dim; causal
  /// queries lie among the keys.
  void forward(const Call& call) const;
};

}  // namespace subquad
