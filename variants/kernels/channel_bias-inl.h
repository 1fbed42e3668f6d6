#pragma once

// Biases of single pairs and of rows of them, for channel_attention.cpp.

#include <algorithm>
#include <cmath>

#include "kernels/channel_attention.h"
#include "kernels/rowwise.h"

namespace subquad {

/// Elements of `values` that pairs of a problem may have: where causal, no key is ahead.
inline Index shift_columns(const PairBias& bias, const Problem& problem) {
  return problem.causal ? bias.window : 2 * bias.window - 1;
}

/// First and last key, of those that exist or not, whose pair with position t has a bias.
inline Index first_biased_key(const PairBias& bias, Index t) {
  return bias.kind == PairBias::Kind::all ? 0 : std::max<Index>(t - bias.window + 1, 0);
}
inline Index last_biased_key(const PairBias& bias, const Problem& problem, Index t) {
  return bias.kind == PairBias::Kind::all ? problem.keys - 1 : t + bias.window - 1;
}

/// Bias of one pair, by its definition.
inline double pair_bias(const PairBias& bias, Index t, Index key) {
  if (bias.kind == PairBias::Kind::none) return 0;
  if (bias.kind != PairBias::Kind::all && std::abs(t - key) >= bias.window) return 0;
  if (bias.rank > 0) {
    double product = 0;
    for (Index r = 0; r < bias.rank; ++r) product += double{bias.u(t, r)} * bias.v(key, r);
    return product;
  }
  if (bias.kind == PairBias::Kind::all) return bias.values(t, key);
  const Index row = bias.kind == PairBias::Kind::shift ? 0 : t;
  return bias.values(row, key - t + bias.window - 1);
}

/// Largest of those biases of position t that stand for themselves and that it sees; pairs outside
/// the band have 0.
inline float largest_bias(const PairBias& bias, const Problem& problem, Index t) {
  const Index seen = problem.causal ? t + 1 : problem.keys;
  if (bias.kind == PairBias::Kind::all) {
    return max_of({bias.values.row(t), static_cast<std::size_t>(seen)});
  }
  const Index begin = std::min(first_biased_key(bias, t), seen);
  const Index end = std::clamp(t + bias.window, begin, seen);
  const float* const band = bias.values.row(t) + (begin - t + bias.window - 1);
  return std::max(0.0f, max_of({band, static_cast<std::size_t>(end - begin)}));
}

/// Copies what position t has for keys begin ... end - 1 out of a row of its band, [2 window - 1];
/// `outside` goes where the band does not reach.
inline void copy_band(const PairBias& bias, const float* band, Index t, Index begin, Index end,
                      float outside, float* row) {
  const Index first = std::clamp(t - bias.window + 1, begin, end);
  const Index last = std::clamp(t + bias.window, first, end);
  std::fill(row, row + (first - begin), outside);
  std::copy(band + (first - t + bias.window - 1), band + (last - t + bias.window - 1),
            row + (first - begin));
  std::fill(row + (last - begin), row + (end - begin), outside);
}

/// Sets what the band does not reach to 0.
inline void clear_outside_band(const PairBias& bias, Index t, Index begin, Index end, float* row) {
  const Index first = std::clamp(t - bias.window + 1, begin, end);
  const Index last = std::clamp(t + bias.window, first, end);
  std::fill(row, row + (first - begin), 0.0f);
  std::fill(row + (last - begin), row + (end - begin), 0.0f);
}

}  // namespace subquad
