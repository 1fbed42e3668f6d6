#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for linear attention: a small multiple of epsilon times the roundings on the way of one sum.
// The logarithm of a gate adds its own rounding times the distance, which its weight makes small.
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

Problem late_problem(Index queries, Index keys, Index dim, Index value_dim) {
  return {.queries = queries,
          .keys = keys,
          .dim = dim,
          .value_dim = value_dim,
          .causal = true,
          .first_query = keys - queries};
}

class RetentionShapes : public testing::TestWithParam<Problem> {};

TEST_P(RetentionShapes, EqualsReference) {
  for (const char* expression :
       {"retention", "retention(chunk=7)", "retention(gamma=0.5,chunk=256)",
        "retention(gamma=1,chunk=16)", "retention(gamma=1e-6)", "retention(norm=rms)"}) {
    EXPECT_LT(VariantTrial(expression, GetParam()).error(), kTolerance) << expression;
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 5).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(Retention, RetentionShapes,
                         testing::Values(self_problem(1, 3, 2, true), self_problem(17, 8, 5, true),
                                         self_problem(131, 16, 16, true),
                                         self_problem(1031, 9, 11, true), late_problem(1, 40, 4, 3),
                                         late_problem(13, 150, 5, 7),
                                         late_problem(90, 1391, 5, 7)));

TEST(Retention, ChunkLengthChangesNothing) {
  const Problem problem = self_problem(500, 8, 8, true);
  for (const char* expression :
       {"retention(chunk=1)", "retention(chunk=13)", "retention(chunk=64)"}) {
    EXPECT_LT(expressions_difference(expression, "retention(chunk=256)", problem), kTolerance)
        << expression;
  }
}

TEST(Retention, WithoutFadingIsLinearAttentionWithoutFeatures) {
  const Problem problem = self_problem(300, 4, 5, true);  // scale 1/2
  std::vector<float> sums =
      VariantTrial("linear(feature_map=identity,normaliser=none)", problem).forward();
  for (float& sum : sums) sum /= 2;
  EXPECT_LT(VariantTrial::difference(VariantTrial("retention(gamma=1)", problem).forward(), sums),
            kTolerance);
}

TEST(Retention, EqualTokensGiveAGeometricSum) {
  VariantTrial trial("retention(gamma=0.75)", self_problem(100, 4, 1, true));
  for (VariantTrial::Matrix* matrix : {&trial.q, &trial.k, &trial.v}) {
    std::fill(matrix->values.begin(), matrix->values.end(), 1.0f);
  }
  const std::vector<float> out = trial.forward();
  for (Index n = 0; n < 100; ++n) {
    // scale q.k is 2 for every pair.
    const double expected = 2 * (1 - std::pow(0.75, n + 1)) / (1 - 0.75);
    EXPECT_NEAR(out[n], expected, 8 * kTolerance);
  }
}

TEST(Retention, NormGivesRowsOfUnitMeanSquare) {
  VariantTrial trial("retention(norm=rms)", self_problem(200, 6, 10, true));
  const std::vector<float> out = trial.forward();
  const std::vector<float> plain = VariantTrial("retention", trial.problem).forward();
  for (Index i = 0; i < 200; ++i) {
    double squares = 0, before = 0;
    for (Index c = 0; c < 10; ++c) {
      squares += std::pow(out[i * 10 + c], 2) / 10;
      before += std::pow(plain[i * 10 + c], 2) / 10;
    }
    EXPECT_NEAR(squares, before / (before + 1e-5), 1e-6);
  }
}

TEST(Retention, StreamEqualsForwardOverALongSequence) {
  const Problem problem = self_problem(4096, 8, 5, true);
  for (const char* expression :
       {"retention", "retention(gamma=0.9990234375)", "retention(norm=rms)"}) {
    VariantTrial trial(expression, problem);
    const std::vector<float> expected = trial.forward();
    const std::vector<float> streamed = trial.decode();
    EXPECT_LT(VariantTrial::difference(streamed, expected), kTolerance) << expression;
    EXPECT_EQ(trial.state_bytes, sizeof(float) * 8 * 5) << expression;
  }
}

TEST(Retention, SeesNoFuture) {
  for (const char* expression : {"retention", "retention(chunk=9)", "retention(norm=rms)"}) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(200, 6, 7, true)), 0) << expression;
    EXPECT_EQ(rows_that_see_the_future(expression, late_problem(70, 200, 6, 7)), 0) << expression;
  }
}

TEST(Retention, SurvivesExtremeInputs) {
  EXPECT_LT(VariantTrial("retention", self_problem(61, 8, 8, true), 3, 1e4).error(), kTolerance);
}

TEST(Retention, WeightsFadeByGammaWithEachToken) {
  VariantTrial trial("retention(gamma=0.5)", self_problem(30, 4, 1, true));
  std::fill(trial.q.values.begin(), trial.q.values.end(), 1.0f);
  std::fill(trial.k.values.begin(), trial.k.values.end(), 1.0f);
  const std::vector<double> weights = trial.weights();
  for (Index i = 0; i < 30; ++i) {
    for (Index j = 0; j < 30; ++j) {
      EXPECT_EQ(weights[i * 30 + j], j > i ? 0 : std::ldexp(2.0, static_cast<int>(j - i)));
    }
  }
}

TEST(Retention, DoesAtLeastTheUsefulWork) {
  for (const char* expression : {"retention", "retention(norm=rms)"}) {
    for (const Problem& problem :
         {self_problem(1, 8, 5, true), self_problem(300, 8, 5, true), late_problem(3, 300, 8, 5)}) {
      VariantTrial trial(expression, problem);
      trial.forward();
      EXPECT_GE(trial.executed.multiply_adds,
                trial.variant->cost(trial.problem).useful.multiply_adds);
    }
  }
}

TEST(Retention, RefusesWhatHasNoDistance) {
  const VariantTrial trial("retention", self_problem(20, 4, 4, true));
  EXPECT_FALSE(trial.variant->refuses(self_problem(20, 4, 4)).empty());
  Problem beyond = late_problem(10, 20, 4, 4);
  EXPECT_TRUE(trial.variant->refuses(beyond).empty());
  beyond.first_query = 11;
  EXPECT_FALSE(trial.variant->refuses(beyond).empty());
}

}  // namespace
}  // namespace subquad
