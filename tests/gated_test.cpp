#include <gtest/gtest.h>

#include "subquad/error.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for linear attention: a small multiple of epsilon times the roundings on the way of one sum.
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

/// The same gates for all tokens and features: sigmoid(bias)^(1 / temperature).
VariantTrial with_constant_gates(const std::string& expression, const Problem& problem,
                                 float bias) {
  VariantTrial trial(expression, problem);
  const View w2 = trial.tensors.writable("w2"), b = trial.tensors.writable("b");
  std::fill_n(w2.data, w2.rows * w2.cols, 0.0f);
  std::fill_n(b.data, b.cols, bias);
  return trial;
}

class GatedShapes : public testing::TestWithParam<Problem> {};

TEST_P(GatedShapes, EqualsReference) {
  for (const char* expression : {"gated", "gated(chunk=7)", "gated(chunk=200)",
                                 "gated(temperature=1)", "gated(rank=3,temperature=100)"}) {
    EXPECT_LT(VariantTrial(expression, GetParam()).error(), kTolerance) << expression;
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 5).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(Gated, GatedShapes,
                         testing::Values(self_problem(1, 3, 2, true), self_problem(17, 8, 5, true),
                                         self_problem(131, 16, 16, true),
                                         self_problem(1031, 9, 11, true),
                                         self_problem(389, 1, 1, true)));

TEST(Gated, ChunkLengthChangesNothing) {
  const Problem problem = self_problem(500, 8, 8, true);
  for (const char* expression : {"gated(chunk=1)", "gated(chunk=13)", "gated(chunk=64)"}) {
    EXPECT_LT(expressions_difference(expression, "gated(chunk=256)", problem), kTolerance)
        << expression;
  }
}

TEST(Gated, OpenGatesAreLinearAttentionWithoutFeatures) {
  const Problem problem = self_problem(300, 4, 5, true);  // scale 1/2
  std::vector<float> sums =
      VariantTrial("linear(feature_map=identity,normaliser=none)", problem).forward();
  for (float& sum : sums) sum /= 2;
  // sigmoid(200) is 1 in float.
  VariantTrial open = with_constant_gates("gated", problem, 200);
  EXPECT_LT(VariantTrial::difference(open.forward(), sums), kTolerance);
}

TEST(Gated, EqualGatesAreRetention) {
  const Problem problem = self_problem(300, 6, 5, true);
  // sigmoid(0)^(1 / 1) = 1/2.
  VariantTrial half = with_constant_gates("gated(temperature=1)", problem, 0);
  EXPECT_LT(VariantTrial::difference(half.forward(),
                                     VariantTrial("retention(gamma=0.5)", problem).reference()),
            kTolerance);
}

TEST(Gated, ClosedGatesLeaveEachTokenAlone) {
  const Problem problem = self_problem(100, 4, 3, true);
  VariantTrial closed = with_constant_gates("gated(temperature=1)", problem, -1000);
  const std::vector<float> out = closed.forward();
  for (Index i = 0; i < 100; ++i) {
    double score = 0, size = 0;
    for (Index f = 0; f < 4; ++f) {
      const double product = double{closed.q(i, f)} * closed.k(i, f) / 2;
      score += product;
      size += std::abs(product);
    }
    for (Index c = 0; c < 3; ++c) {
      EXPECT_NEAR(out[i * 3 + c], score * closed.v(i, c),
                  8 * std::numeric_limits<float>::epsilon() * size * std::abs(closed.v(i, c)));
    }
  }
}

TEST(Gated, StreamEqualsForwardOverALongSequence) {
  const Problem problem = self_problem(4096, 8, 5, true);
  for (const char* expression : {"gated", "gated(temperature=1000)"}) {
    VariantTrial trial(expression, problem);
    const std::vector<float> expected = trial.forward();
    const std::vector<float> streamed = trial.decode();
    EXPECT_LT(VariantTrial::difference(streamed, expected), kTolerance) << expression;
    EXPECT_EQ(trial.state_bytes, sizeof(float) * 8 * 5) << expression;
  }
}

TEST(Gated, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("gated", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("gated(chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Gated, SurvivesExtremeInputs) {
  VariantTrial trial("gated", self_problem(61, 8, 8, true), 3, 1e4);
  EXPECT_LT(trial.error(), kTolerance);
  for (float& value : trial.x.values) value *= 1e4f;
  for (const float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
}

TEST(Gated, WeightsTimesValuesIsTheOutput) {
  VariantTrial trial("gated(temperature=2)", self_problem(30, 4, 1, true));
  EXPECT_LE(trial.weights_error(), 1e-12);
}

TEST(Gated, DoesAtLeastTheUsefulWork) {
  for (const Index n : {1, 17, 300}) {
    VariantTrial trial("gated", self_problem(n, 8, 5, true));
    trial.forward();
    const Work useful = trial.variant->cost(trial.problem).useful;
    EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
    EXPECT_GE(trial.executed.exponentials, useful.exponentials);
  }
}

TEST(Gated, NeedsGatesForEveryKey) {
  VariantTrial trial("gated", self_problem(20, 4, 4, true));
  EXPECT_FALSE(trial.variant->refuses(self_problem(20, 4, 4)).empty());
  const Problem late{
      .queries = 10, .keys = 20, .dim = 4, .value_dim = 4, .causal = true, .first_query = 10};
  EXPECT_FALSE(trial.variant->refuses(late).empty());
  trial.x.cols = 3;
  EXPECT_THROW(trial.forward(), Error);
}

}  // namespace
}  // namespace subquad
