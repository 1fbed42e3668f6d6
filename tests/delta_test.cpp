#include <gtest/gtest.h>

#include "subquad/error.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

// Each token's matrix has norm 1 at the most, so roundings of earlier tokens do not grow: a small
// multiple of epsilon times the roundings on the way of one sum.
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

Problem unscaled(Index n, Index dim, Index value_dim) {
  Problem problem = self_problem(n, dim, value_dim, true);
  problem.scale = 1;
  return problem;
}

class DeltaShapes : public testing::TestWithParam<Problem> {};

TEST_P(DeltaShapes, EqualsReference) {
  for (const char* expression :
       {"delta", "delta(chunk=7)", "delta(chunk=200)", "delta(feature_map=identity)",
        "delta(gate=constant)", "delta(gate=constant,beta=0.25,chunk=40)"}) {
    EXPECT_LT(VariantTrial(expression, GetParam()).error(), kTolerance) << expression;
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 5).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(Delta, DeltaShapes,
                         testing::Values(self_problem(1, 3, 2, true), self_problem(17, 8, 5, true),
                                         self_problem(131, 16, 16, true),
                                         self_problem(1031, 9, 11, true),
                                         self_problem(389, 1, 1, true),
                                         self_problem(200, 70, 66, true)));

TEST(Delta, EqualsReferenceWhereQueriesAreTheLastOfTheKeys) {
  for (const Index queries : {1, 13, 90}) {
    const Problem problem{.queries = queries,
                          .keys = 391,
                          .dim = 5,
                          .value_dim = 7,
                          .causal = true,
                          .first_query = 391 - queries};
    for (const char* expression : {"delta(gate=constant)", "delta(gate=constant,beta=0.5)"}) {
      EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance) << expression;
    }
    EXPECT_FALSE(make_variant(parse_expression("delta"), problem)->refuses(problem).empty());
  }
}

TEST(Delta, ChunkLengthChangesNothing) {
  const Problem problem = self_problem(500, 8, 8, true);
  for (const char* expression :
       {"delta(chunk=1)", "delta(chunk=8)", "delta(chunk=13)", "delta(chunk=64)"}) {
    EXPECT_LT(expressions_difference(expression, "delta(chunk=512)", problem), kTolerance)
        << expression;
  }
}

TEST(Delta, OneTokenGivesItsValueAsFarAsTheQueryIsLikeItsKey) {
  VariantTrial trial("delta", unscaled(1, 2, 1));
  trial.q(0, 0) = 2, trial.q(0, 1) = -1, trial.k(0, 0) = 0.5, trial.k(0, 1) = 3;
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  const double q[] = {silu(2), silu(-1)}, k[] = {silu(0.5), silu(3)};
  const double cosine =
      (q[0] * k[0] + q[1] * k[1]) / std::hypot(q[0], q[1]) / std::hypot(k[0], k[1]);
  const double z = double{trial.tensors.matrix("w")(0, 0)} * trial.x(0, 0);
  const double expected = cosine * trial.v(0, 0) / (1 + std::exp(-z));
  EXPECT_NEAR(trial.forward()[0], expected, 1e-6 * std::abs(expected));
}

TEST(Delta, WithoutWritingTheOutputIsZero) {
  for (const float value :
       VariantTrial("delta(gate=constant,beta=0)", self_problem(200, 8, 8, true)).forward()) {
    EXPECT_EQ(value, 0);
  }
}

TEST(Delta, RecallsTheLastValueOfEachOfOrthonormalKeys) {
  constexpr Index kTokens = 300, kDim = 8, kColumns = 3;
  VariantTrial trial("delta(gate=constant,feature_map=identity)",
                     unscaled(kTokens, kDim, kColumns));
  Generator random(5);
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  std::fill(trial.k.values.begin(), trial.k.values.end(), 0.0f);
  std::vector<float> expected;
  float memory[kDim][kColumns] = {};
  for (Index t = 0; t < kTokens; ++t) {
    const Index written = random.below(kDim), asked = random.below(kDim);
    trial.k(t, written) = 1;
    trial.q(t, asked) = 1;
    for (Index c = 0; c < kColumns; ++c) {
      // Integers, so that nothing is rounded.
      trial.v(t, c) = memory[written][c] = static_cast<float>(random.below(1000)) - 500;
    }
    expected.insert(expected.end(), memory[asked], memory[asked] + kColumns);
  }
  EXPECT_EQ(trial.forward(), expected);
}

TEST(Delta, ARepeatedKeyOverwrites) {
  VariantTrial trial("delta(gate=constant)", unscaled(150, 6, 4));
  for (Index t = 0; t < 150; ++t) {
    for (Index f = 0; f < 6; ++f) trial.q(t, f) = trial.k(t, f) = trial.k(0, f);
  }
  const std::vector<float> out = trial.forward();
  for (Index i = 0; i < 150 * 4; ++i) {
    EXPECT_NEAR(out[i], trial.v.values[i], 4 * kTolerance);
  }
}

TEST(Delta, StreamEqualsForwardOverALongSequence) {
  const Problem problem = self_problem(4096, 8, 5, true);
  for (const char* expression :
       {"delta", "delta(gate=constant)", "delta(gate=constant,beta=0.01,feature_map=identity)"}) {
    VariantTrial trial(expression, problem);
    const std::vector<float> expected = trial.forward();
    const std::vector<float> streamed = trial.decode();
    EXPECT_LT(VariantTrial::difference(streamed, expected), kTolerance) << expression;
    EXPECT_EQ(trial.state_bytes, sizeof(float) * 8 * 5) << expression;
    EXPECT_LT(trial.error(), kTolerance) << expression;
  }
}

TEST(Delta, SeesNoFuture) {
  for (const char* expression : {"delta", "delta(chunk=9)", "delta(gate=constant)"}) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(200, 6, 7, true)), 0) << expression;
  }
}

TEST(Delta, SurvivesExtremeInputs) {
  for (const char* expression : {"delta", "delta(gate=constant,feature_map=identity)"}) {
    VariantTrial trial(expression, self_problem(61, 8, 8, true), 3, 1e4);
    EXPECT_LT(trial.error(), kTolerance) << expression;
    std::fill(trial.k.values.begin(), trial.k.values.end(), 0.0f);
    for (const float value : trial.forward()) EXPECT_EQ(value, 0);
  }
}

TEST(Delta, DoesAtLeastTheUsefulWork) {
  for (const char* expression : {"delta", "delta(gate=constant,feature_map=identity)"}) {
    for (const Index n : {1, 17, 300}) {
      VariantTrial trial(expression, self_problem(n, 8, 5, true));
      trial.forward();
      const Work useful = trial.variant->cost(trial.problem).useful;
      EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
      EXPECT_GE(trial.executed.exponentials, useful.exponentials);
    }
  }
}

TEST(Delta, RefusesAnInputOfAnotherWidth) {
  VariantTrial trial("delta", self_problem(20, 4, 4, true));
  EXPECT_FALSE(trial.variant->refuses(self_problem(20, 4, 4)).empty());
  trial.x.cols = 3;
  EXPECT_THROW(trial.forward(), Error);
}

}  // namespace
}  // namespace subquad
