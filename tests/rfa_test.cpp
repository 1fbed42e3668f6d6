#include <gtest/gtest.h>

#include "support/feature_trials.h"

namespace subquad {
namespace {

// Double but for the output: what is left is that rounding, and what sums near 0 amplify.
constexpr double kTolerance = 8 * std::numeric_limits<float>::epsilon();

TEST(Rfa, EqualsReference) {
  for (const Problem& problem : feature_problems()) {
    for (const char* text : {"rfa(features=22)", "rfa(features=22,sigma=0.6,chunk=7)"}) {
      EXPECT_LT(VariantTrial(text, problem).error(), kTolerance) << text;
      EXPECT_LT(VariantTrial(text, problem, 2, 1, 5).error(), kTolerance) << text;
    }
  }
}

TEST(Rfa, ChunkLengthChangesNothing) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(67, 4, 4, causal);
    for (Index chunk = 1; chunk < 67; ++chunk) {
      const std::string text = "rfa(features=16,chunk=" + std::to_string(chunk) + ")";
      EXPECT_LT(expressions_difference(text, "rfa(features=16,chunk=67)", problem), kTolerance);
    }
  }
}

TEST(Rfa, StreamEqualsCausalForward) {
  EXPECT_LT(stream_difference("rfa(features=32)", self_problem(4096, 8, 5, true)), kTolerance);
}

TEST(Rfa, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("rfa(features=32)", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("rfa(features=32,chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Rfa, LengthsOfQueriesAndKeysDoNotMatter) {
  VariantTrial trial("rfa", self_problem(50, 8, 4)), scaled("rfa", self_problem(50, 8, 4));
  for (Index i = 0; i < 50; ++i) {
    for (Index c = 0; c < 8; ++c) {
      scaled.q(i, c) *= 4;
      scaled.k(i, c) *= i % 2 == 0 ? 0.25f : 8.0f;
    }
  }
  EXPECT_EQ(trial.forward(), scaled.forward());
}

TEST(Rfa, QueriesOfLengthZeroAverage) {
  VariantTrial trial("rfa(features=20)", self_problem(30, 8, 1));
  std::fill_n(&trial.q(4, 0), 8, 0.0f);
  // Against a zero query each key has its own estimate of one and the same number, so only many
  // features give the mean: here keys are equal, and so are estimates.
  for (Index j = 1; j < 30; ++j) std::copy_n(&trial.k(0, 0), 8, &trial.k(j, 0));
  double mean = 0;
  for (Index j = 0; j < 30; ++j) mean += trial.v(j, 0) / 30;
  EXPECT_NEAR(trial.forward()[4], mean, kTolerance);
}

TEST(Rfa, ApproachesItsDenseTarget) {
  // The mean squared error is proportional to 1 / features.
  const Problem problem{.queries = 64, .keys = 1024, .dim = 16, .value_dim = 16};
  const std::vector<double> features = {64, 256, 1024};
  for (const char* sigma : {"1", "0.8"}) {
    std::vector<double> errors;
    for (const double count : features) {
      const std::string text =
          "rfa(features=" + std::to_string(static_cast<Index>(count)) + ",sigma=" + sigma + ")";
      const std::string target = VariantTrial(text, problem).variant->dense_target(problem);
      errors.push_back(0);
      for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        errors.back() += output_error(text, target, problem, 1, seed) / 8;
      }
    }
    EXPECT_NEAR(log_slope(features, errors), -1, 0.2) << sigma;
  }
}

TEST(Rfa, NamesTheDenseAttentionThatItEstimates) {
  const Problem problem = self_problem(20, 4, 4);
  EXPECT_EQ(VariantTrial("rfa", problem).variant->dense_target(problem),
            "dense(length=1,scale=none)");
  EXPECT_EQ(VariantTrial("rfa(sigma=0.5)", problem).variant->dense_target(problem),
            "dense(length=2,scale=none)");
}

TEST(Rfa, RefusesOddFeatures) {
  const Problem problem = self_problem(20, 4, 4);
  EXPECT_NE(VariantTrial("rfa(features=7)", problem).variant->refuses(problem), "");
  EXPECT_EQ(VariantTrial("rfa(features=8)", problem).variant->refuses(problem), "");
}

TEST(Rfa, DenseOfALengthIsDenseOnRowsOfThatLength) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(150, 8, 4, causal);
    VariantTrial trial("dense(length=1.5)", problem), given("dense", problem);
    std::fill_n(&trial.k(3, 0), 8, 0.0f);
    std::fill_n(&given.k(3, 0), 8, 0.0f);
    const auto scale = [](VariantTrial::Matrix& rows) {
      for (Index i = 0; i < rows.rows; ++i) {
        double squares = 0;
        for (Index c = 0; c < rows.cols; ++c) squares += double{rows(i, c)} * rows(i, c);
        if (squares == 0) continue;
        for (Index c = 0; c < rows.cols; ++c) {
          rows(i, c) = static_cast<float>(1.5 * rows(i, c) / std::sqrt(squares));
        }
      }
    };
    scale(given.q);
    scale(given.k);
    const double tolerance = 16 * std::numeric_limits<float>::epsilon();
    EXPECT_LT(VariantTrial::difference(trial.reference(), given.reference()), tolerance);
    EXPECT_LT(trial.error(), tolerance);
  }
}

}  // namespace
}  // namespace subquad
