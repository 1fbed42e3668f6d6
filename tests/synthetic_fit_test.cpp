#include "kernels/synthetic_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/fitting.h"

namespace subquad {
namespace {

RowMajor<double> normal(Index rows, Index cols, std::uint64_t seed) {
  Generator random(seed);
  RowMajor<double> matrix(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) matrix(i, j) = random.normal();
  }
  return matrix;
}

/// Windows of the same shape, and features that have nothing to do with them.
struct Sample {
  Sample(const Problem& problem, Index inner, std::uint64_t count) : problem(problem) {
    for (std::uint64_t t = 0; t < count; ++t) {
      trials.push_back(std::make_unique<VariantTrial>("dense", problem, t + 1));
      windows.push_back(window_of(*trials.back()));
      features.push_back(normal(problem.keys, inner, 100 + t));
    }
  }
  ScoreRidge ridge() const { return {problem, windows, features}; }

  Problem problem;
  std::vector<std::unique_ptr<VariantTrial>> trials;
  std::vector<Window> windows;
  std::vector<RowMajor<double>> features;
};

TEST(SyntheticFit, LogOfTheMeanIsFiniteAndItsSoftmaxTheMean) {
  const Problem problem = self_problem(30, 4, 2, true);
  VariantTrial mild("dense", problem, 1), sharp("dense", problem, 2, 40);
  const RowMajor<double> logs =
      log_mean_attention(problem, std::vector<Window>{window_of(mild), window_of(sharp)});
  ASSERT_TRUE(logs.allFinite());
  const std::vector<double> first = mild.weights(), second = sharp.weights();
  for (Index i = 0; i < 30; ++i) {
    double sum = 0;
    for (Index j = 0; j <= i; ++j) sum += std::exp(logs(i, j));
    for (Index j = 0; j <= i; ++j) {
      EXPECT_NEAR(std::exp(logs(i, j)) / sum, (first[i * 30 + j] + second[i * 30 + j]) / 2, 1e-14);
    }
    for (Index j = i + 1; j < 30; ++j) EXPECT_LT(logs(i, j), -80);
  }
}

TEST(SyntheticFit, RowsAreCentredOverWhatTheySee) {
  const Problem problem = self_problem(20, 4, 2, true);
  RowMajor<double> scores = normal(20, 20, 1);
  const RowMajor<double> before = scores;
  centre_rows(problem, scores);
  for (Index i = 0; i < 20; ++i) {
    EXPECT_NEAR(scores.row(i).head(i + 1).sum(), 0, 1e-13);
    EXPECT_NEAR(scores(i, 0) - scores(i, i), before(i, 0) - before(i, i), 1e-13);
    EXPECT_EQ(scores.row(i).tail(19 - i).cwiseAbs().sum(), 0);
  }
}

TEST(SyntheticFit, CentredScoresAreCentredLogAttention) {
  const Problem problem = self_problem(25, 4, 2);
  VariantTrial trial("dense", problem, 3);
  RowMajor<double> logs = log_mean_attention(problem, std::vector<Window>{window_of(trial)});
  centre_rows(problem, logs);
  EXPECT_LT((logs - centred_scores(problem, window_of(trial))).cwiseAbs().maxCoeff(), 1e-12);
}

TEST(SyntheticFit, FactorsLeaveTheSmallestSingularValues) {
  // Reflections of a diagonal matrix: its singular values are known.
  const auto reflection = [](Index n, std::uint64_t seed) {
    const RowMajor<double> normal_vector = normal(n, 1, seed).normalized();
    return RowMajor<double>(RowMajor<double>::Identity(n, n) -
                            2 * normal_vector * normal_vector.transpose());
  };
  RowMajor<double> diagonal = RowMajor<double>::Zero(6, 9);
  for (Index i = 0; i < 6; ++i) diagonal(i, i) = static_cast<double>(6 - i);
  const RowMajor<double> matrix = reflection(6, 1) * diagonal * reflection(9, 2);
  for (const Index rank : {1, 3, 6, 8}) {
    const LowRankFactors factors = nearest_factors(matrix, rank);
    ASSERT_EQ(factors.left.cols(), rank);
    ASSERT_EQ(factors.right.rows(), 9);
    double tail = 0;
    for (Index i = rank; i < 6; ++i) tail += diagonal(i, i) * diagonal(i, i);
    EXPECT_NEAR((matrix - factors.left * factors.right.transpose()).norm(), std::sqrt(tail), 1e-12);
  }
}

TEST(SyntheticFit, WhatIsNotFiniteHasNoFactors) {
  RowMajor<double> matrix = normal(5, 5, 1);
  matrix(2, 3) = -std::numeric_limits<double>::infinity();
  EXPECT_THROW(nearest_factors(matrix, 2), Error);
}

TEST(SyntheticFit, RidgeHasNoGradientLeft) {
  for (const bool causal : {false, true}) {
    const Sample sample(self_problem(23, 5, 2, causal), 4, 3);
    const double relative = 0.05;
    const RowMajor<double> w = sample.ridge().fit(relative);
    double squares = 0;
    for (const RowMajor<double>& features : sample.features) squares += features.squaredNorm();
    for (Index j = 0; j < 23; ++j) {
      Eigen::RowVectorXd gradient = relative * squares / 4 * w.row(j);
      for (std::size_t t = 0; t < 3; ++t) {
        const RowMajor<double> scores = centred_scores(sample.problem, sample.windows[t]);
        for (Index i = causal ? j : 0; i < 23; ++i) {
          const auto h = sample.features[t].row(i);
          gradient += (h.dot(w.row(j)) - scores(i, j)) * h;
        }
      }
      EXPECT_LT(gradient.norm(), 1e-12) << causal << j;
    }
  }
}

TEST(SyntheticFit, ThePenaltyIsLargeForNoiseAndSmallForWhatIsThere) {
  for (const bool causal : {false, true}) {
    Sample noise(self_problem(40, 6, 2, causal), 10, 4);
    EXPECT_EQ(noise.ridge().relative_penalty(), 1);
    // Features from which scores follow: the queries.
    for (std::size_t t = 0; t < 4; ++t) {
      noise.features[t] = as_eigen(noise.windows[t].q).cast<double>();
      noise.windows[t].k = noise.windows[0].k;
    }
    EXPECT_EQ(noise.ridge().relative_penalty(), 1e-4);
  }
  EXPECT_EQ(Sample(self_problem(9, 3, 2), 2, 1).ridge().relative_penalty(),
            ScoreRidge::kLoneWindow);
}

TEST(SyntheticFit, FeaturesOfZerosPredictNothing) {
  Sample sample(self_problem(9, 3, 2), 2, 2);
  for (RowMajor<double>& features : sample.features) features.setZero();
  EXPECT_EQ(sample.ridge().fit(1e-3).cwiseAbs().maxCoeff(), 0);
}

TEST(ScoreRidge, OutputErrorIsThatOfItsSoftmax) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(7, 3, 2, causal);
    VariantTrial trial("dense", problem, 4);
    std::vector<float> target(7 * 2, 0.25f);
    const Window window{.q = trial.q.view(),
                        .k = trial.k.view(),
                        .v = trial.v.view(),
                        .x = {},
                        .target = {target.data(), 7, 2}};
    RowMajor<double> features(7, 3), w(7, 3);
    for (Index i = 0; i < 7; ++i) {
      for (Index c = 0; c < 3; ++c) {
        features(i, c) = std::abs(trial.q(i, c));
        w(i, c) = trial.k(i, c);
      }
    }
    double want = 0;
    for (Index i = 0; i < 7; ++i) {
      double sum = 0, out[2] = {};
      for (Index j = 0; j < 7; ++j) {
        if (!problem.sees(i, j)) continue;
        double score = 0;
        for (Index c = 0; c < 3; ++c) score += features(i, c) * w(j, c);
        sum += std::exp(score);
        for (Index c = 0; c < 2; ++c) out[c] += std::exp(score) * trial.v(j, c);
      }
      for (const double one : out) want += std::pow(one / sum - 0.25, 2);
    }
    const ScoreRidge ridge(problem, {&window, 1}, {features});
    EXPECT_NEAR(ridge.output_error({&window, 1}, w), want, 1e-12 * want);
  }
}

}  // namespace
}  // namespace subquad
