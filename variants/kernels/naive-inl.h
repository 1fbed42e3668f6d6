#pragma once

// What references have in common: loops in double, for clarity and nothing else. No kernel uses it.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "subquad/variant.h"

namespace subquad {

/// Score of a pair, scaled.
inline double naive_score(const ReferenceCall& call, Index query, Index key) {
  double dot = 0;
  for (Index c = 0; c < call.problem.dim; ++c) dot += call.q(query, c) * call.k(key, c);
  return call.problem.score_scale() * dot;
}

/// Scores to weights of sum 1, in place; -infinity becomes 0. Returns the log-sum-exp. Where all
/// are -infinity, so is that, and there is no weight.
inline double naive_softmax(std::span<double> row) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const double score : row) largest = std::max(largest, score);
  for (double& score : row) {
    score = std::isinf(largest) ? 0 : std::exp(score - largest);
    sum += score;
  }
  for (double& weight : row) weight /= sum > 0 ? sum : 1;
  return largest + std::log(sum);
}

/// Outputs from weights: `weigh(i, row)` writes the weights of query i, [keys].
template <class Weigh>
void naive_outputs(const ReferenceCall& call, const Weigh& weigh) {
  std::vector<double> row(static_cast<std::size_t>(call.problem.keys));
  for (Index i = 0; i < call.out.rows; ++i) {
    weigh(i, row.data());
    for (Index c = 0; c < call.out.cols; ++c) {
      call.out(i, c) = 0;
      for (Index j = 0; j < call.problem.keys; ++j) {
        if (row[j] != 0) call.out(i, c) += row[j] * call.v(j, c);
      }
    }
  }
}

}  // namespace subquad
