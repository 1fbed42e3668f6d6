#include <gtest/gtest.h>

#include <algorithm>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Exponents of scores and features stay below 24 at these widths.
constexpr double kTolerance = 24 * 32 * kEpsilon;

/// A~ = phi(Q) phi(K)^T + S with matrices written out and no logarithm, and its rows' averages.
/// `support(i, j)` says where S is.
template <class Support>
std::vector<double> definition_on(VariantTrial& trial, Support support) {
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
      const double s = support(i, j) ? std::exp(p.score_scale() * dot) - low_rank : 0;
      norm += low_rank + s;
      for (Index c = 0; c < p.value_dim; ++c) sum[c] += (low_rank + s) * trial.v(j, c);
    }
    for (const double value : sum) out.push_back(value / norm);
  }
  return out;
}

std::vector<double> definition(VariantTrial& trial, Index radius) {
  const Index first = trial.problem.first_query;
  return definition_on(
      trial, [=](Index i, Index j) { return j >= first + i - radius && j <= first + i + radius; });
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

/// Buckets by definition: places of codes in the reflected Gray sequence, which is built here as
/// its name says, then equal parts of the sorted tokens.
std::vector<std::int32_t> naive_buckets(VariantTrial& trial, VariantTrial::Matrix& tokens, int bits,
                                        Index block) {
  std::vector<std::vector<bool>> sequence = {{}};
  for (int b = 0; b < bits; ++b) {
    std::vector<std::vector<bool>> reflected(sequence.rbegin(), sequence.rend());
    for (auto& code : sequence) code.push_back(false);
    for (auto& code : reflected) code.push_back(true);
    sequence.insert(sequence.end(), reflected.begin(), reflected.end());
  }
  const ConstView planes = trial.tensors.matrix("planes");
  std::vector<std::pair<std::ptrdiff_t, Index>> sorted;
  for (Index i = 0; i < tokens.rows; ++i) {
    std::vector<bool> code;
    for (int b = 0; b < bits; ++b) {
      double dot = 0;
      for (Index c = 0; c < tokens.cols; ++c) dot += double{tokens(i, c)} * planes(c, b);
      code.push_back(dot > 0);
    }
    sorted.emplace_back(std::find(sequence.begin(), sequence.end(), code) - sequence.begin(), i);
  }
  std::sort(sorted.begin(), sorted.end());
  const Index blocks = (trial.problem.keys + block - 1) / block;
  std::vector<std::int32_t> buckets(sorted.size());
  for (Index b = 0; b < blocks; ++b) {
    for (Index at = b * tokens.rows / blocks; at < (b + 1) * tokens.rows / blocks; ++at) {
      buckets[sorted[at].second] = static_cast<std::int32_t>(b);
    }
  }
  return buckets;
}

TEST(Scatterbrain, BucketsEqualTheirDefinition) {
  struct Case {
    int block, bits, features;
  };
  for (const Problem& problem :
       {self_problem(1, 8, 5), self_problem(17, 8, 5), self_problem(389, 8, 5),
        Problem{.queries = 70, .keys = 300, .dim = 8, .value_dim = 5},
        Problem{.queries = 500, .keys = 90, .dim = 8, .value_dim = 5},
        Problem{.queries = 3, .keys = 90, .dim = 8, .value_dim = 5, .first_query = 87}}) {
    for (const Case& one : {Case{16, 7, 16}, {100, 3, 16}, {7, 1, 3}, {1, 6, 8}, {400, 7, 16}}) {
      const std::string expression =
          "scatterbrain(support=buckets,block=" + std::to_string(one.block) +
          ",bits=" + std::to_string(one.bits) + ",features=" + std::to_string(one.features) + ")";
      VariantTrial trial(expression, problem);
      const std::vector<float> out = trial.forward();
      const std::vector<std::int32_t> queries = naive_buckets(trial, trial.q, one.bits, one.block);
      const std::vector<std::int32_t> keys = naive_buckets(trial, trial.k, one.bits, one.block);
      const auto chosen = trial.tensors.integers("query_buckets");
      EXPECT_TRUE(std::equal(chosen.begin(), chosen.end(), queries.begin())) << expression;
      const std::vector<double> expected =
          definition_on(trial, [&](Index i, Index j) { return queries[i] == keys[j]; });
      EXPECT_LT(VariantTrial::difference(out, expected), kTolerance)
          << expression << problem.queries << ' ' << problem.keys;
    }
  }
}

TEST(Scatterbrain, BucketsOfManyChunks) {
  VariantTrial trial("scatterbrain(support=buckets,block=300,features=8)",
                     self_problem(2100, 4, 3));
  const std::vector<float> out = trial.forward();
  const auto queries = naive_buckets(trial, trial.q, 7, 300);
  const auto keys = naive_buckets(trial, trial.k, 7, 300);
  const std::vector<double> expected =
      definition_on(trial, [&](Index i, Index j) { return queries[i] == keys[j]; });
  EXPECT_LT(VariantTrial::difference(out, expected), kTolerance);
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
  const auto buckets = parse_expression("scatterbrain(support=buckets)");
  EXPECT_EQ(make_variant(buckets, problem)->refuses(problem), "");
  const Problem causal = self_problem(10, 4, 4, true);
  EXPECT_NE(make_variant(buckets, causal)->refuses(causal), "");
}

}  // namespace
}  // namespace subquad
