#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// Features are at most a few units and sums positive, so errors are a small multiple of epsilon
// times the number of roundings on the way of one sum (chunks of 64, then segments).
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

class LinearShapes : public testing::TestWithParam<Problem> {};

TEST_P(LinearShapes, EqualsReference) {
  for (const char* expression : {"linear", "linear(chunk=7)", "linear(feature_map=relu)"}) {
    EXPECT_LT(VariantTrial(expression, GetParam()).error(), kTolerance) << expression;
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 5).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Linear, LinearShapes,
    testing::Values(self_problem(1, 3, 2), self_problem(1, 3, 2, true), self_problem(17, 8, 5),
                    self_problem(17, 8, 5, true), self_problem(131, 16, 16, true),
                    self_problem(1031, 9, 11), self_problem(1031, 9, 11, true),
                    self_problem(2053, 4, 6, true),
                    Problem{.queries = 13, .keys = 150, .dim = 5, .value_dim = 7},
                    Problem{.queries = 13,
                            .keys = 150,
                            .dim = 5,
                            .value_dim = 7,
                            .causal = true,
                            .first_query = 137},
                    Problem{.queries = 90,
                            .keys = 700,
                            .dim = 5,
                            .value_dim = 7,
                            .causal = true,
                            .first_query = 301}));

TEST(Linear, EqualScoresGiveTheMean) {
  VariantTrial trial("linear", self_problem(40, 4, 3, true));
  std::fill(trial.k.values.begin(), trial.k.values.end(), 0.5f);
  const std::vector<float> out = trial.forward();
  double sum = 0;
  for (Index i = 0; i < 40; ++i) {
    sum += trial.v(i, 1);
    EXPECT_NEAR(out[i * 3 + 1], sum / static_cast<double>(i + 1), 2e-6);
  }
}

TEST(Linear, ReluWithoutFeaturesGivesZero) {
  VariantTrial trial("linear(feature_map=relu)", self_problem(20, 4, 3));
  std::fill(trial.q.values.begin(), trial.q.values.end(), -1.0f);
  for (float value : trial.forward()) EXPECT_EQ(value, 0);
}

TEST(Linear, EpsilonIsAddedAfterTheSum) {
  // phi(q) = phi(k) = exp(-7), one feature: out = v p / (p + 1e-6) with p = exp(-14).
  VariantTrial trial("linear", self_problem(1, 1, 1));
  trial.q(0, 0) = trial.k(0, 0) = -7;
  trial.v(0, 0) = 1;
  const double product = std::exp(-14.0);
  EXPECT_NEAR(trial.forward()[0], product / (product + 1e-6), 1e-6);
}

TEST(Linear, ChunkLengthChangesNothing) {
  const Problem problem = self_problem(500, 8, 8, true);
  for (const char* expression : {"linear(chunk=1)", "linear(chunk=13)", "linear(chunk=64)"}) {
    EXPECT_LT(expressions_difference(expression, "linear(chunk=512)", problem), kTolerance)
        << expression;
  }
}

TEST(Linear, StreamEqualsCausalForward) {
  const Problem problem = self_problem(300, 8, 5, true);
  for (const char* expression : {"linear", "linear(feature_map=relu)"}) {
    VariantTrial trial(expression, problem);
    const std::vector<float> expected = trial.forward();
    const std::vector<float> streamed = trial.decode();
    EXPECT_LT(VariantTrial::difference(streamed, expected), kTolerance) << expression;
    EXPECT_EQ(trial.state_bytes, sizeof(float) * (8 * 5 + 8));
  }
}

TEST(Linear, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("linear", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("linear(chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Linear, SurvivesExtremeInputs) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("linear", self_problem(61, 8, 8, causal), 3, 1e4);
    EXPECT_LT(trial.error(), kTolerance);
  }
}

TEST(Linear, WeightsTimesValuesIsTheOutput) {
  VariantTrial trial("linear", self_problem(30, 4, 1, true));
  EXPECT_LE(trial.weights_error(), 1e-12);
}

TEST(Linear, DoesAtLeastTheUsefulWork) {
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 17, 300}) {
      VariantTrial trial("linear", self_problem(n, 8, 5, causal));
      trial.forward();
      const Work useful = trial.variant->cost(trial.problem).useful;
      EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
      EXPECT_GE(trial.executed.exponentials, useful.exponentials);
    }
  }
}

}  // namespace
}  // namespace subquad
