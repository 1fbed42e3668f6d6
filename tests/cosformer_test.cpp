#include <gtest/gtest.h>

#include <numbers>

#include "support/feature_trials.h"

namespace subquad {
namespace {

// Features are at most a few units, and no term of a sum is negative.
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

TEST(Cosformer, EqualsReference) {
  for (const Problem& problem : feature_problems()) {
    for (const char* text : {"cosformer", "cosformer(max_length=2000,chunk=7)"}) {
      EXPECT_LT(VariantTrial(text, problem).error(), kTolerance) << text;
      EXPECT_LT(VariantTrial(text, problem, 2, 1, 5).error(), kTolerance) << text;
    }
  }
}

TEST(Cosformer, EqualsTheDirectFormula) {
  // Queries from position 3 (from 1) on, keys up to 9; M = 10.
  const Problem problem{
      .queries = 8, .keys = 9, .dim = 5, .value_dim = 2, .causal = true, .first_query = 2};
  VariantTrial trial("cosformer", problem);
  const std::vector<float> out = trial.forward();
  for (Index i = 0; i < 8; ++i) {
    double sum = 0, output = 0;
    for (Index j = 0; j < 9; ++j) {
      const double position = static_cast<double>(i + 3), other = static_cast<double>(j + 1);
      if (other > position) continue;
      double weight = std::cos(std::numbers::pi / 2 * (position - other) / 10);
      double product = 0;
      for (Index c = 0; c < 5; ++c) {
        product += std::max(0.0f, trial.q(i, c)) * double{std::max(0.0f, trial.k(j, c))};
      }
      weight *= product;
      sum += weight;
      output += weight * trial.v(j, 1);
    }
    EXPECT_NEAR(out[2 * i + 1], output / std::max(sum, 1e-6), kTolerance * 3) << i;
  }
}

TEST(Cosformer, ChunkLengthChangesNothing) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(67, 4, 4, causal);
    for (Index chunk = 1; chunk < 67; ++chunk) {
      const std::string text = "cosformer(chunk=" + std::to_string(chunk) + ")";
      EXPECT_LT(expressions_difference(text, "cosformer(chunk=67)", problem), kTolerance) << text;
    }
  }
}

TEST(Cosformer, StreamEqualsCausalForward) {
  EXPECT_LT(stream_difference("cosformer", self_problem(4096, 8, 5, true)), kTolerance);
}

TEST(Cosformer, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("cosformer", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("cosformer(chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Cosformer, AFixedLengthMakesPrefixesAgree) {
  const Problem whole = self_problem(200, 4, 3, true), prefix = self_problem(90, 4, 3, true);
  for (const bool fixed : {false, true}) {
    const std::string text = fixed ? "cosformer(max_length=256)" : "cosformer";
    VariantTrial longer(text, whole), shorter(text, prefix);
    // Rows are drawn one after the other, but K after Q.
    longer.k.values.assign(shorter.k.values.begin(), shorter.k.values.end());
    longer.k.values.resize(200 * 4, 0.5f);
    longer.v.values.assign(shorter.v.values.begin(), shorter.v.values.end());
    longer.v.values.resize(200 * 3, 0.5f);
    std::vector<float> out = longer.forward();
    out.resize(90 * 3);
    const double difference = VariantTrial::difference(out, shorter.forward());
    if (fixed) {
      EXPECT_LT(difference, kTolerance);
    } else {
      EXPECT_GT(difference, 1e-3);
    }
  }
}

TEST(Cosformer, RefusesPositionsBeyondItsLength) {
  Problem problem = self_problem(20, 4, 3, true);
  const VariantTrial trial("cosformer(max_length=20)", problem);
  EXPECT_EQ(trial.variant->refuses(problem), "");
  problem.first_query = 1;
  EXPECT_EQ(trial.variant->refuses(problem), "max_length is 20, and there are positions up to 21");
}

TEST(Cosformer, QueriesWithoutPositiveCoordinatesGiveZero) {
  VariantTrial trial("cosformer", self_problem(20, 4, 3));
  std::fill(trial.q.values.begin(), trial.q.values.end(), -1.0f);
  for (const float value : trial.forward()) EXPECT_EQ(value, 0);
}

TEST(Cosformer, DenominatorsAreAtLeastAMillionth) {
  // One key at the query's own position: out = v w / max(w, 1e-6), w = q k.
  for (const float q : {1e-3f, 1e-8f}) {
    VariantTrial trial("cosformer", self_problem(1, 1, 1));
    trial.q(0, 0) = q;
    trial.k(0, 0) = trial.v(0, 0) = 1;
    EXPECT_NEAR(trial.forward()[0], q / std::max(double{q}, 1e-6), 1e-6);
  }
}

}  // namespace
}  // namespace subquad
