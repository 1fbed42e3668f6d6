#pragma once

/// Dense attention under a mask, naive and in double: what every restriction has to equal.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/variant_trial.h"

namespace subquad {

/// May query row `query` see key `key`? Causality is added by those who call it.
using Mask = std::function<bool(Index query, Index key)>;

struct MaskedAttention {
  std::vector<double> out;          ///< [queries, value_dim]
  std::vector<double> log_sum_exp;  ///< [queries]
  double pairs = 0;                 ///< that are seen
  double largest_score = 0;
};

inline MaskedAttention masked_attention(VariantTrial& trial, const Mask& mask) {
  const Problem& p = trial.problem;
  MaskedAttention result;
  result.out.assign(static_cast<std::size_t>(p.queries * p.value_dim), 0);
  for (Index i = 0; i < p.queries; ++i) {
    double sum = 0, largest = -std::numeric_limits<double>::infinity();
    std::vector<double> scores(static_cast<std::size_t>(p.keys), largest);
    for (Index j = 0; j < p.keys; ++j) {
      if (!p.sees(i, j) || !mask(i, j)) continue;
      double dot = 0;
      for (Index c = 0; c < p.dim; ++c) dot += static_cast<double>(trial.q(i, c)) * trial.k(j, c);
      scores[j] = p.score_scale() * dot;
      largest = std::max(largest, scores[j]);
      result.largest_score = std::max(result.largest_score, std::abs(scores[j]));
      ++result.pairs;
    }
    for (Index j = 0; j < p.keys; ++j) {
      if (std::isinf(scores[j])) continue;
      const double weight = std::exp(scores[j] - largest);
      sum += weight;
      for (Index c = 0; c < p.value_dim; ++c) {
        result.out[i * p.value_dim + c] += weight * trial.v(j, c);
      }
    }
    for (Index c = 0; sum > 0 && c < p.value_dim; ++c) result.out[i * p.value_dim + c] /= sum;
    result.log_sum_exp.push_back(sum > 0 ? largest + std::log(sum) : largest);
  }
  return result;
}

/// Output and log-sum-exps of forward are those of dense attention under the mask, to the
/// contract's tolerance, and the declared work is that of the mask's pairs.
inline void expect_masked_attention(VariantTrial& trial, const Mask& mask) {
  const Problem& p = trial.problem;
  const MaskedAttention want = masked_attention(trial, mask);
  const std::vector<float> out = trial.forward();
  const double epsilon = 32 * 0x1p-23 * std::max(1.0, want.largest_score);
  double largest = 0;
  for (const double value : want.out) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < out.size(); ++i) {
    ASSERT_NEAR(out[i], want.out[i], epsilon * largest)
        << "row " << i / static_cast<std::size_t>(p.value_dim);
  }
  for (std::size_t i = 0; i < trial.log_sum_exp.size(); ++i) {
    if (std::isinf(want.log_sum_exp[i])) {
      ASSERT_EQ(trial.log_sum_exp[i], want.log_sum_exp[i]) << "row " << i;
    } else {
      ASSERT_NEAR(trial.log_sum_exp[i], want.log_sum_exp[i],
                  epsilon * std::max(1.0, std::abs(want.log_sum_exp[i])))
          << "row " << i;
    }
  }
  const Cost cost = trial.variant->cost(p);
  if (cost.exact) {
    EXPECT_EQ(cost.useful.exponentials, want.pairs);
  } else {
    EXPECT_GE(cost.useful.exponentials, want.pairs);
  }
}

/// Self attention, short and long, causal and not; queries that are not the keys, that begin in the
/// middle of a block, that lie beyond the last key.
inline std::vector<Problem> pattern_problems() {
  std::vector<Problem> problems;
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 2, 61, 128, 389}) problems.push_back(self_problem(n, 8, 5, causal));
    problems.push_back({.queries = 70,
                        .keys = 150,
                        .dim = 8,
                        .value_dim = 5,
                        .causal = causal,
                        .first_query = 80});
    problems.push_back({.queries = 90,
                        .keys = 120,
                        .dim = 8,
                        .value_dim = 5,
                        .causal = causal,
                        .first_query = 17});
    problems.push_back({.queries = 150, .keys = 60, .dim = 8, .value_dim = 5, .causal = causal});
  }
  return problems;
}

inline std::string text_of(const Problem& p) {
  return std::to_string(p.queries) + " queries from " + std::to_string(p.first_query) + ", " +
         std::to_string(p.keys) + " keys" + (p.causal ? ", causal" : "");
}

/// Holds an expression against `mask(problem)` on all of them.
inline void expect_pattern(const std::string& expression,
                           const std::function<Mask(const Problem&)>& mask) {
  for (const Problem& problem : pattern_problems()) {
    SCOPED_TRACE(expression + ": " + text_of(problem));
    VariantTrial trial(expression, problem);
    expect_masked_attention(trial, mask(problem));
    if (testing::Test::HasFatalFailure()) return;
  }
}

/// `name` at the parameters that its `exact_when` gives is unmasked dense attention.
inline void expect_exact(const std::string& name, const Problem& problem) {
  const std::string parameters = make_variant(parse_expression(name), problem)->exact_when(problem);
  const std::string expression = name + "(" + parameters + ")";
  SCOPED_TRACE(expression + ": " + text_of(problem));
  VariantTrial trial(expression, problem);
  expect_masked_attention(trial, [](Index, Index) { return true; });
}

}  // namespace subquad
