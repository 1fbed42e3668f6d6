#pragma once

/// What tests of variants with feature maps have in common.

#include <string>
#include <vector>

#include "support/variant_trial.h"

namespace subquad {

/// Self attention and not, short, odd and over several segments, causal and not.
inline std::vector<Problem> feature_problems() {
  return {
      self_problem(1, 3, 2),
      self_problem(1, 3, 2, true),
      self_problem(17, 8, 5),
      self_problem(17, 8, 5, true),
      self_problem(131, 16, 16, true),
      self_problem(1031, 5, 11),
      self_problem(1031, 5, 11, true),
      {.queries = 13, .keys = 150, .dim = 5, .value_dim = 7},
      {.queries = 90, .keys = 700, .dim = 5, .value_dim = 7, .causal = true, .first_query = 301}};
}
inline std::vector<Problem> feature_problems_without_causality() {
  std::vector<Problem> problems = feature_problems();
  std::erase_if(problems, [](const Problem& problem) { return problem.causal; });
  return problems;
}

/// Largest difference between causal forward and token by token decoding, over the largest element.
inline double stream_difference(const std::string& expression, const Problem& problem) {
  VariantTrial trial(expression, problem);
  const std::vector<float> whole = trial.forward();
  return VariantTrial::difference(trial.decode(), whole);
}

/// Mean over elements of the squared difference of forward and of what `target` computes in double,
/// inputs from normal(0, std).
inline double output_error(const std::string& expression, const std::string& target,
                           const Problem& problem, double std, std::uint64_t seed) {
  const std::vector<float> out = VariantTrial(expression, problem, seed, std).forward();
  const std::vector<double> exact = VariantTrial(target, problem, seed, std).reference();
  double sum = 0;
  for (std::size_t i = 0; i < out.size(); ++i) sum += (out[i] - exact[i]) * (out[i] - exact[i]);
  return sum / static_cast<double>(out.size());
}

/// Slope of the straight line through (log x, log y), by least squares.
inline double log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto count = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, both = 0, squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / count;
    mean_y += std::log(y[i]) / count;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
    squares += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
  }
  return both / squares;
}

}  // namespace subquad
