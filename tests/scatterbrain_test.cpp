#include <gtest/gtest.h>

#include <algorithm>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Exponents of scores and features stay below 24 at these widths.
constexpr double kTolerance = 24 * 32 * kEpsilon;

/// A~ = phi(Q) phi(K)^T + S with matrices written out and no logarithm, and its rows' averages.
std::vector<double> definition(VariantTrial& trial, Index radius) {
  const Problem& p = trial.problem;
  const ConstView w = trial.tensors.matrix("directions");
  const double root = std::sqrt(p.score_scale());
  const auto features = [&](VariantTrial::Matrix& rows) {
    std::vector<std::vector<double>> phi;
    for (Index i = 0; i < rows.rows; ++i) {
      double squares = 0;
      for (Index c = 0; c < p.dim; ++c) squares += std::pow(root * rows(i, c), 2);
      phi.emplace_back();
      for (Index f = 0; f < w.rows; ++f) {
        double dot = 0;
        for (Index c = 0; c < p.dim; ++c) dot += w(f, c) * root * rows(i, c);
        phi.back().push_back(std::exp(dot - squares / 2) / std::sqrt(static_cast<double>(w.rows)));
      }
    }
    return phi;
  };
  const auto queries = features(trial.q), keys = features(trial.k);
  std::vector<double> out;
  for (Index i = 0; i < p.queries; ++i) {
    std::vector<double> sum(static_cast<std::size_t>(p.value_dim));
    double norm = 0;
    for (Index j = 0; j < p.keys; ++j) {
      if (p.causal && j > p.first_query + i) continue;
      double low_rank = 0, dot = 0;
      for (Index f = 0; f < w.rows; ++f) low_rank += queries[i][f] * keys[j][f];
      for (Index c = 0; c < p.dim; ++c) dot += double{trial.q(i, c)} * trial.k(j, c);
      const bool support = j >= p.first_query + i - radius && j <= p.first_query + i + radius;
      const double s = support ? std::exp(p.score_scale() * dot) - low_rank : 0;
      norm += low_rank + s;
      for (Index c = 0; c < p.value_dim; ++c) sum[c] += (low_rank + s) * trial.v(j, c);
    }
    for (const double value : sum) out.push_back(value / norm);
  }
  return out;
}

std::string expression(Index radius, Index features) {
  return "scatterbrain(radius=" + std::to_string(radius) + ",features=" + std::to_string(features) +
         ")";
}

TEST(Scatterbrain, EqualsItsDefinition) {
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 2, 17, 64, 131, 389}) {
      for (const auto& [radius, features] :
           {std::pair<Index, Index>{0, 16}, {1, 3}, {10, 16}, {63, 40}, {64, 16}, {200, 1}}) {
        VariantTrial trial(expression(radius, features), self_problem(n, 8, 5, causal));
        EXPECT_LT(VariantTrial::difference(trial.forward(), definition(trial, radius)), kTolerance)
            << n << ' ' << expression(radius, features) << causal;
      }
    }
  }
}

TEST(Scatterbrain, SegmentsOfSeveralChunks) {
  for (const bool causal : {false, true}) {
    VariantTrial trial(expression(30, 8), self_problem(2100, 4, 3, causal));
    EXPECT_LT(VariantTrial::difference(trial.forward(), definition(trial, 30)), kTolerance);
  }
}

TEST(Scatterbrain, CrossAttentionAndLateQueries) {
  const Problem problems[] = {
      {.queries = 70, .keys = 300, .dim = 8, .value_dim = 5},
      {.queries = 300, .keys = 280, .dim = 8, .value_dim = 5},
      {.queries = 90, .keys = 300, .dim = 8, .value_dim = 5, .first_query = 150},
      {.queries = 90, .keys = 300, .dim = 8, .value_dim = 5, .causal = true, .first_query = 210},
      {.queries = 1, .keys = 300, .dim = 8, .value_dim = 5, .causal = true, .first_query = 299},
      {.queries = 50, .keys = 100, .dim = 8, .value_dim = 5, .scale = 0.6},
  };
  for (const Problem& problem : problems) {
    VariantTrial trial(expression(25, 16), problem);
    EXPECT_LT(VariantTrial::difference(trial.forward(), definition(trial, 25)), kTolerance);
  }
}

TEST(Scatterbrain, FullSupportIsDense) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(131, 8, 5, causal);
    VariantTrial trial("scatterbrain(features=4,radius=130)", problem);
    VariantTrial dense("dense", problem);
    EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
    // Nothing is estimated, then.
    VariantTrial window("local(radius=130)", problem);
    window.forward();
    EXPECT_EQ(trial.executed, window.executed);
  }
}

TEST(Scatterbrain, DigitsAreKeptWhereTheWindowHoldsNearlyAll) {
  // Own keys dwarf all estimates, but for one query, whose window holds next to nothing: a
  // difference of sums in float would leave noise, or nothing, of both.
  VariantTrial trial(expression(2, 32), self_problem(150, 8, 5), 1, 0.5);
  for (Index i = 0; i < 150; ++i) {
    for (Index c = 0; c < 8; ++c)
      trial.k(i, c) = 0.05f * trial.k(i, c) + (i == 75 ? -3 : 3) * trial.q(i, c);
  }
  const std::vector<float> out = trial.forward();
  EXPECT_LT(VariantTrial::difference(out, definition(trial, 2)), 2 * kTolerance);
}

double squared_error(const std::string& expression, const Problem& problem) {
  double error = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    VariantTrial trial(expression, problem, seed, 0.8), dense("dense", problem, seed, 0.8);
    const std::vector<float> out = trial.forward();
    const std::vector<double> exact = dense.reference();
    for (std::size_t i = 0; i < out.size(); ++i) error += std::pow(out[i] - exact[i], 2);
  }
  return error;
}

TEST(Scatterbrain, ErrorFallsWithFeaturesAndWithAWideWindow) {
  const Problem problem = self_problem(200, 8, 4);
  double previous = 1e9;
  for (const Index features : {4, 16, 64, 256}) {
    const double error = squared_error(expression(8, features), problem);
    EXPECT_LT(error, previous / 1.5) << features;
    previous = error;
  }
  previous = 1e9;
  // A small window need not help: most estimates are too low, beside which it weighs too much.
  for (const Index radius : {40, 100, 160, 199}) {
    const double error = squared_error(expression(radius, 16), problem);
    EXPECT_LT(error, previous / 1.2) << radius;
    previous = error;
  }
  EXPECT_LT(squared_error(expression(8, 64), problem), squared_error("local(radius=8)", problem));
}

TEST(Scatterbrain, LaterTokensDoNotReachEarlierQueries) {
  for (const Index radius : {0, 5, 70}) {
    EXPECT_EQ(rows_that_see_the_future(expression(radius, 16), self_problem(300, 8, 5, true)), 0);
  }
}

TEST(Scatterbrain, RefusesQueriesWithoutAnExactKey) {
  const Problem problem{.queries = 30, .keys = 10, .dim = 4, .value_dim = 4};
  const auto reason = [&](Index radius) {
    return make_variant(parse_expression(expression(radius, 8)), problem)->refuses(problem);
  };
  EXPECT_EQ(reason(19),
            "the last query, at position 29, has none of the 10 keys within radius 19: nothing is "
            "exact there");
  EXPECT_EQ(reason(20), "");
}

}  // namespace
}  // namespace subquad
