#pragma once

// What all peers of `dense` have in common. A peer computes softmax attention over all keys as a
// user would have it from a library: what it claims, costs and must equal is the same for all.

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "subquad/registry.h"

namespace subquad {

/// "oneDNN 2.6.3".
inline std::string version_text(const char* name, std::initializer_list<int> numbers) {
  std::string text = name;
  for (const int number : numbers) {
    text.append(text == name ? " " : ".").append(std::to_string(number));
  }
  return text;
}

class DensePeer : public Variant {
 public:
  Target target(const Problem&) const override { return Target::exact; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }
  bool gives_log_sum_exp() const override { return true; }

  Cost cost(const Problem& problem) const override {
    return softmax_cost(problem, problem.pairs());
  }

  /// out_i = sum_j softmax_j(scale q_i . k_j) v_j over the keys that query i sees.
  void reference(const ReferenceCall& call) const override {
    const Problem& problem = call.problem;
    std::vector<double> weights(static_cast<std::size_t>(problem.keys));
    for (Index i = 0; i < problem.queries; ++i) {
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (Index j = 0; j < problem.keys && problem.sees(i, j); ++j) {
        double dot = 0;
        for (Index c = 0; c < problem.dim; ++c) dot += call.q(i, c) * call.k(j, c);
        weights[j] = problem.score_scale() * dot;
        largest = std::max(largest, weights[j]);
      }
      for (Index c = 0; c < problem.value_dim; ++c) call.out(i, c) = 0;
      for (Index j = 0; j < problem.keys && problem.sees(i, j); ++j) {
        const double weight = std::exp(weights[j] - largest);
        sum += weight;
        for (Index c = 0; c < problem.value_dim; ++c) call.out(i, c) += weight * call.v(j, c);
      }
      for (Index c = 0; sum > 0 && c < problem.value_dim; ++c) call.out(i, c) /= sum;
      if (call.row_log_sum_exp != nullptr) {
        call.row_log_sum_exp[i] = sum > 0 ? largest + std::log(sum) : largest;
      }
    }
  }
};

}  // namespace subquad
