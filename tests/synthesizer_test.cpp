#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// Scores reach about 5: sums of `dim` products of order one.
constexpr double kTolerance = 5 * 16 * std::numeric_limits<float>::epsilon();

TEST(Synthesizer, EqualsReference) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem :
         {self_problem(1, 3, 2, causal), self_problem(17, 8, 5, causal),
          self_problem(131, 16, 16, causal), self_problem(1201, 4, 3, causal)}) {
      for (const char* expression : {"synthesizer", "synthesizer(kind=random)"}) {
        EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance) << expression;
        EXPECT_LT(VariantTrial(expression, problem, 2, 1, 3).error(), kTolerance) << expression;
      }
    }
  }
}

TEST(Synthesizer, DenseScoresDependOnTheTokenAlone) {
  // With W2 = [1, -1, ...; ...] set by hand: score_j = w2_j relu(w1 x).
  VariantTrial trial("synthesizer", self_problem(3, 1, 1));
  const View w1 = trial.tensors.writable("w1"), w2 = trial.tensors.writable("w2");
  w1(0, 0) = 2;
  w2(0, 0) = 1, w2(1, 0) = 0, w2(2, 0) = -1;
  trial.x(0, 0) = 0.5f, trial.x(1, 0) = -0.5f, trial.x(2, 0) = 1;
  trial.v(0, 0) = 1, trial.v(1, 0) = 10, trial.v(2, 0) = 100;
  const std::vector<float> out = trial.forward();
  const auto expected = [](double s) {
    return (std::exp(s) + 10 + 100 * std::exp(-s)) / (std::exp(s) + 1 + std::exp(-s));
  };
  EXPECT_NEAR(out[0], expected(1), 1e-4);
  EXPECT_NEAR(out[1], expected(0), 1e-4);  // relu cut the negative one off
  EXPECT_NEAR(out[2], expected(2), 1e-4);
}

TEST(Synthesizer, RandomScoresAreTheTensor) {
  VariantTrial trial("synthesizer(kind=random)", self_problem(4, 2, 3, true));
  const View r = trial.tensors.writable("r");
  // Row 2 sees keys 0 to 2 and ignores the large score of key 3.
  r(2, 0) = 0, r(2, 1) = std::log(2.0f), r(2, 2) = std::log(3.0f), r(2, 3) = 50;
  const std::vector<float> out = trial.forward();
  for (Index c = 0; c < 3; ++c) {
    EXPECT_NEAR(out[2 * 3 + c], (trial.v(0, c) + 2 * trial.v(1, c) + 3 * trial.v(2, c)) / 6, 1e-6);
  }
}

TEST(Synthesizer, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("synthesizer", self_problem(150, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("synthesizer(kind=random)", self_problem(150, 6, 7, true)), 0);
}

TEST(Synthesizer, WeightsTimesValuesIsTheOutput) {
  for (const char* expression : {"synthesizer", "synthesizer(kind=random)"}) {
    VariantTrial trial(expression, self_problem(30, 4, 1, true));
    EXPECT_LE(trial.weights_error(), 1e-12);
  }
}

TEST(Synthesizer, RefusesCrossAttentionAndForeignWidths) {
  const Problem cross{.queries = 4, .keys = 8, .dim = 4, .value_dim = 4};
  EXPECT_NE(make_variant(parse_expression("synthesizer"), cross)->refuses(cross), "");
  VariantTrial trial("synthesizer", self_problem(8, 4, 4));
  trial.x.cols = 3;
  EXPECT_THROW(trial.forward(), Error);
}

TEST(Synthesizer, SurvivesExtremeScores) {
  VariantTrial trial("synthesizer", self_problem(40, 8, 8, true), 3);
  for (Index i = 0; i < 40 * 8; ++i) trial.x.values[i] *= 1e4f;
  for (float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
}

TEST(Synthesizer, DoesAtLeastTheUsefulWork) {
  for (const char* expression : {"synthesizer", "synthesizer(kind=random)"}) {
    for (const bool causal : {false, true}) {
      VariantTrial trial(expression, self_problem(100, 8, 5, causal));
      trial.forward();
      const Work useful = trial.variant->cost(trial.problem).useful;
      EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
      EXPECT_EQ(trial.executed.exponentials, useful.exponentials);
    }
  }
}

}  // namespace
}  // namespace subquad
