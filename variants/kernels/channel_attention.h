#pragma once

#include "subquad/variant.h"

namespace subquad {

/// Biases w of pairs (position, key): a key's weight in the mean of a position is exp(k + w).
struct PairBias {
  enum class Kind {
    none,   ///< 0 for all pairs
    all,    ///< one for each pair
    band,   ///< one for each pair less than `window` apart, 0 for all others
    shift,  ///< one for each distance below `window`, whatever the position; 0 for all others
  };
  Kind kind = Kind::none;
  Index window = 0;
  /// 0, or the rank of w = u v^T for `all` and `band`: then u and v stand for `values`.
  Index rank = 0;
  /// all: [positions, keys]; band: [positions, 2 window - 1], shift: [1, 2 window - 1], both with
  /// key - position + window - 1 for the column.
  ConstView values = {};
  ConstView u = {};  ///< [positions, rank]
  ConstView v = {};  ///< [keys, rank]
};

/// Weighted means of values, channel by channel (Zhai et al. 2021, arXiv:2105.14103, equation 2):
///
///   out_t = sigmoid(q_t) * sum_j exp(k_j + w_tj) * v_j / sum_j exp(k_j + w_tj)
///
/// Keys go in tiles. A tile in which w is 0 for all pairs enters by its sum alone; any other is a
/// matrix product of exp(w) with [exp(k), exp(k) v]. The causal tile that holds the queries
/// themselves is walked key by key under a running maximum, so that nothing of a later key is ever
/// touched. k is taken relative to its channel's maximum, over the keys so far if causal, and w to
/// its row's, or, where w is factorised and made tile by tile, to that over the tiles so far; an
/// element whose normaliser falls out of float's range all the same is summed again term by term,
/// in double.
struct ChannelAttention {
  PairBias bias;
  /// All channels have one key, the mean of the columns of k; each channel has its own otherwise.
  bool one_key = false;

  /// Needs no views of the bias.
  Scratch scratch(const Problem& problem) const;
  /// Reads q, k, v, problem and run of the call, and writes its `out`. dim is value_dim; causal
  /// queries lie among the keys.
  void forward(const Call& call) const;
};

}  // namespace subquad
