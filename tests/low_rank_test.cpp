#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "subquad/registry.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 6.
constexpr double kTolerance = 6 * 32 * kEpsilon;

using Doubles = std::vector<double>;

Doubles dense_weights(const Problem& problem) { return VariantTrial("dense", problem).weights(); }

double squared_distance(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/// Squared distance of a variant's matrix from that of dense attention on the same inputs.
double error_of(const std::string& expression, const Problem& problem) {
  VariantTrial trial(expression, problem);
  trial.forward();  // for the choices
  return squared_distance(trial.weights(), dense_weights(problem));
}

std::string low_rank(Index rank) { return "low_rank(rank=" + std::to_string(rank) + ")"; }
std::string sparse_low_rank(Index keys, Index rank) {
  return "sparse_low_rank(keys=" + std::to_string(keys) + ",rank=" + std::to_string(rank) + ")";
}

TEST(LowRank, EqualsItsReference) {
  for (const Problem& problem :
       {self_problem(1, 8, 5), self_problem(67, 8, 5), self_problem(131, 3, 9),
        Problem{.queries = 150, .keys = 40, .dim = 8, .value_dim = 5},
        Problem{.queries = 40, .keys = 150, .dim = 8, .value_dim = 5, .scale = 0.5},
        Problem{.queries = 1,
        .keys = 50,
        .dim = 8,
        .value_dim = 5,
        .causal = true,
        .first_query = 49}}) {
    for (const Index rank : {1, 2, 7, 39, 64, 200}) {
      for (const std::string& expression : {low_rank(rank), sparse_low_rank(3, rank)}) {
        VariantTrial trial(expression, problem, 3, 1.3, 2);
        EXPECT_LT(trial.error(), kTolerance) << expression << problem.queries;
      }
    }
  }
}

TEST(LowRank, IsNearerThanAnyOtherMatrixOfItsRank) {
  const Problem problem = self_problem(120, 8, 4);
  for (const Index rank : {1, 4, 16, 60}) {
    const double least = error_of(low_rank(rank), problem);
    EXPECT_LE(least, error_of("mean", problem)) << rank;
    EXPECT_LE(least, error_of("linformer(rank=" + std::to_string(rank) + ")", problem)) << rank;
    EXPECT_LE(least, error_of("linformer(projection=mean_pool,rank=" + std::to_string(rank) + ")",
                              problem))
        << rank;
    EXPECT_GE(least, error_of(low_rank(rank + 1), problem)) << rank;
  }
  EXPECT_LT(error_of(low_rank(120), problem), 1e-25);
}

TEST(LowRank, TwoGroupsOfTokensHaveRankTwo) {
  // Queries and keys all of one of two kinds: the matrix has two different rows.
  VariantTrial trial(low_rank(2), self_problem(90, 4, 6));
  for (Index i = 0; i < 90; ++i) {
    for (Index c = 0; c < 4; ++c) {
      trial.q(i, c) = trial.k(i, c) = c == i % 2 ? 2.0f : 0.0f;
    }
  }
  VariantTrial dense("dense", trial.problem);
  dense.q = trial.q;
  dense.k = trial.k;
  EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
}

TEST(LowRank, LongOnesToo) {
  // Beyond the length up to which all eigenvectors are found. The error in Frobenius norm is known
  // from within: values are the unit matrix.
  const Problem problem = self_problem(540, 16, 540);
  for (const std::string& expression : {low_rank(20), sparse_low_rank(4, 20)}) {
    VariantTrial trial(expression, problem);
    std::fill(trial.v.values.begin(), trial.v.values.end(), 0.0f);
    for (Index i = 0; i < 540; ++i) trial.v(i, i) = 1;
    const std::vector<float> out = trial.forward();
    const Doubles found(out.begin(), out.end()), best = trial.weights();
    const Doubles dense = dense_weights(problem);
    const double size = squared_distance(dense, Doubles(dense.size()));
    // Of a matrix that is best at its rank the error and the norm make up that of the whole; 1e-6
    // of the norm may be missed.
    EXPECT_NEAR(squared_distance(found, dense), squared_distance(best, dense), 2e-6 * size)
        << expression;
  }
}

TEST(SparseLowRank, KeepsTheLargestWeightsOfEveryQuery) {
  for (const Index keys : {1, 5, 100}) {
    const Problem problem{.queries = 50, .keys = 70, .dim = 8, .value_dim = 5};
    VariantTrial trial(sparse_low_rank(keys, 3), problem);
    trial.forward();
    const std::span<const std::int32_t> chosen = trial.tensors.integers("keys");
    const Doubles dense = dense_weights(problem);
    const Index count = std::min<Index>(keys, 70);
    for (Index i = 0; i < 50; ++i) {
      std::vector<std::int32_t> order(70);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int a, int b) { return dense[i * 70 + a] > dense[i * 70 + b]; });
      order.resize(count);
      std::sort(order.begin(), order.end());
      EXPECT_TRUE(std::equal(order.begin(), order.end(), chosen.begin() + i * count)) << i;
    }
  }
}

TEST(SparseLowRank, ALargerRankIsNearer) {
  const Problem problem = self_problem(120, 8, 4);
  for (const Index keys : {1, 8, 30}) {
    double previous = 1e9;
    for (const Index rank : {1, 4, 16, 60}) {
      const double error = error_of(sparse_low_rank(keys, rank), problem);
      EXPECT_LT(error, previous) << keys << ' ' << rank;
      previous = error;
    }
  }
}

TEST(SparseLowRank, AllKeysAreDense) {
  const Problem problem = self_problem(60, 8, 4);
  VariantTrial trial(sparse_low_rank(60, 1), problem), dense("dense", problem);
  EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
}

TEST(SparseLowRank, NoSumWithTheSameSparsePartIsNearer) {
  // Multiples of the matrix of `mean`, which has rank one.
  const Problem problem = self_problem(100, 8, 4);
  VariantTrial trial(sparse_low_rank(6, 1), problem);
  trial.forward();
  const Doubles dense = dense_weights(problem);
  const std::span<const std::int32_t> chosen = trial.tensors.integers("keys");
  for (const double share : {0.0, 0.2, 0.4, 0.6, 1.0}) {
    Doubles candidate(dense.size(), share / 100);
    for (Index i = 0; i < 100; ++i) {
      for (Index c = 0; c < 6; ++c) {
        const auto at = static_cast<std::size_t>(i * 100 + chosen[i * 6 + c]);
        candidate[at] += dense[at];
      }
    }
    EXPECT_LE(squared_distance(trial.weights(), dense), squared_distance(candidate, dense));
  }
}

TEST(LowRank, NotANumberIsNoCrash) {
  for (const std::string& expression : {low_rank(4), sparse_low_rank(3, 4)}) {
    VariantTrial trial(expression, self_problem(50, 4, 4));
    trial.k(7, 1) = NAN;
    const std::vector<float> out = trial.forward();
    EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }));
  }
}

TEST(LowRank, SaysWhatItCannotDo) {
  for (const char* name : {"low_rank", "sparse_low_rank"}) {
    const auto reason = [&](const Problem& problem) {
      return make_variant(parse_expression(name), problem)->refuses(problem);
    };
    EXPECT_EQ(reason(self_problem(4097, 4, 4)),
              "decomposes the whole attention matrix, of at most 4096 queries and keys, not 4097");
    EXPECT_EQ(reason(self_problem(4096, 4, 4)), "");
    EXPECT_EQ(reason(self_problem(10, 4, 4, true)),
              "the best matrix of a rank mixes all rows, so nothing can be causal");
    // A mask that hides nothing is none.
    EXPECT_EQ(
        reason(
            {.queries = 3, .keys = 10, .dim = 4, .value_dim = 4, .causal = true, .first_query = 9}),
        "");
  }
}

}  // namespace
}  // namespace subquad
