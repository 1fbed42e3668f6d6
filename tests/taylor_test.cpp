#include <gtest/gtest.h>

#include "support/feature_trials.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Features are in double; projections are not: scores of a few units are off by some epsilons.
constexpr double kTolerance = 64 * kEpsilon;

TEST(Taylor, EqualsReference) {
  for (const Problem& problem : feature_problems()) {
    for (const char* text : {"taylor", "taylor(width=0)", "taylor(width=3,chunk=7)"}) {
      EXPECT_LT(VariantTrial(text, problem).error(), kTolerance) << text;
      EXPECT_LT(VariantTrial(text, problem, 2, 1, 5).error(), kTolerance) << text;
    }
  }
}

/// The weight of a key with score s against one with score 0, whose weight is 1.
double weight(const std::string& expression, const Problem& problem, float factor) {
  VariantTrial trial(expression, problem);
  for (Index c = 0; c < problem.dim; ++c) {
    trial.q(0, c) = factor * static_cast<float>(c + 1);
    trial.k(0, c) = static_cast<float>(2 - c);
    trial.k(1, c) = 0;
  }
  trial.v(0, 0) = 1;
  trial.v(1, 0) = 0;
  const double share = trial.forward()[0];
  return share / (1 - share);
}

TEST(Taylor, WeightsAreTheSeriesUpToTheSquare) {
  // q . k = factor (1 2 + 2 1 + 3 0 + 4 (-1)) = 0 and, with three coordinates, 4 factor.
  for (const float factor : {-2.0f, -0.5f, -0.125f, 0.25f, 1.0f}) {
    const Problem problem{.queries = 1, .keys = 2, .dim = 3, .value_dim = 1, .scale = 0.5};
    const double score = 2.0 * factor;
    const double expected = 1 + score + score * score / 2;
    // From a share of at most expected / (1 + expected), rounded once.
    EXPECT_NEAR(weight("taylor(width=0)", problem, factor) / expected, 1,
                kEpsilon * (1 + expected));
    Problem zero = problem;
    zero.dim = 4;
    EXPECT_NEAR(weight("taylor(width=0)", zero, factor), 1, 4 * kEpsilon);
  }
}

TEST(Taylor, ErrorFallsWithTheLogits) {
  // Half the inputs' size is a quarter of the logits', and the first term left out is their cube.
  const Problem problem = self_problem(200, 16, 8);
  double before = output_error("taylor(width=0)", "dense", problem, 0.8, 1);
  for (const double std : {0.4, 0.2}) {
    const double after = output_error("taylor(width=0)", "dense", problem, std, 1);
    EXPECT_LT(after, before / (32 * 32)) << std;
    before = after;
  }
}

TEST(Taylor, IsAnEstimatorWithoutProjection) {
  const Problem problem = self_problem(8, 4, 4);
  EXPECT_EQ(VariantTrial("taylor", problem).variant->target(problem), Target::operation);
  EXPECT_EQ(VariantTrial("taylor(width=0)", problem).variant->target(problem), Target::estimator);
}

TEST(Taylor, ProjectsQueriesAndKeys) {
  // P_q takes the first two of four coordinates, P_k the last two in turn: as if only those were
  // given, with the scale of two coordinates.
  VariantTrial trial("taylor(width=2)", self_problem(30, 4, 3, true));
  VariantTrial plain("taylor(width=0)", self_problem(30, 2, 3, true));
  const View query = trial.tensors.writable("query_projection");
  const View key = trial.tensors.writable("key_projection");
  std::fill_n(query.data, 8, 0.0f);
  std::fill_n(key.data, 8, 0.0f);
  query(0, 0) = query(1, 1) = key(0, 3) = key(1, 2) = 1;
  for (Index i = 0; i < 30; ++i) {
    for (Index c = 0; c < 2; ++c) {
      plain.q(i, c) = trial.q(i, c);
      plain.k(i, c) = trial.k(i, 3 - c);
    }
    std::copy_n(&trial.v(i, 0), 3, &plain.v(i, 0));
  }
  EXPECT_LT(VariantTrial::difference(trial.forward(), plain.forward()), kTolerance);
}

TEST(Taylor, ProjectedScoresAreAsLargeAsThoseOfTheirWidth) {
  // Coordinates of N(0, 1) stay so in the mean over projections.
  const Problem problem = self_problem(400, 64, 1);
  double squares = 0;
  constexpr int kSeeds = 20;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    VariantTrial trial("taylor", problem, seed);
    const ConstView projection = trial.tensors.matrix("query_projection");
    for (Index i = 0; i < 400; ++i) {
      for (Index f = 0; f < 16; ++f) {
        double sum = 0;
        for (Index c = 0; c < 64; ++c) sum += double{projection(f, c)} * trial.q(i, c);
        squares += sum * sum / (400.0 * 16 * kSeeds);
      }
    }
  }
  // 320 rows of projections, whose squared lengths have mean 1 and variance 2 / 64.
  EXPECT_NEAR(squares, 1, 5 * std::sqrt(2.0 / 64 / (16 * kSeeds)));
}

TEST(Taylor, ChunkLengthChangesNothing) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(67, 4, 4, causal);
    for (Index chunk = 1; chunk < 67; ++chunk) {
      const std::string text = "taylor(width=3,chunk=" + std::to_string(chunk) + ")";
      EXPECT_LT(expressions_difference(text, "taylor(width=3,chunk=67)", problem), kTolerance);
    }
  }
}

TEST(Taylor, StreamEqualsCausalForward) {
  for (const char* text : {"taylor(width=5)", "taylor(width=0)"}) {
    EXPECT_LT(stream_difference(text, self_problem(4096, 6, 5, true)), kTolerance) << text;
  }
}

TEST(Taylor, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("taylor", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("taylor(width=0,chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Taylor, LargeScoresLeaveSmallWeightsTheirDigits) {
  // Terms of t^2 reach 10^8 where the first query's only weight is 1/2.
  VariantTrial trial("taylor(width=0)", self_problem(40, 4, 2, true), 1, 100);
  const float q[] = {100, 100, 100, 100}, k[] = {100, -100.01f, 100, -100.01f};
  std::copy_n(q, 4, &trial.q(0, 0));
  std::copy_n(k, 4, &trial.k(0, 0));
  const std::vector<float> out = trial.forward();
  EXPECT_NEAR(out[0], trial.v(0, 0), 1e-6 * std::abs(trial.v(0, 0)));
  EXPECT_LT(trial.error(), kTolerance);
}

TEST(Taylor, CountsPairsOfCoordinatesOnce) {
  // 1 + 4 + 10 features; 6 queries and 6 keys.
  const Problem problem = self_problem(6, 4, 3);
  const Work useful = VariantTrial("taylor(width=0)", problem).variant->cost(problem).useful;
  EXPECT_EQ(useful.multiply_adds, 6 * 15 * 3 + 6 * 15 * (3 + 1));
  const Work projected = VariantTrial("taylor(width=2)", problem).variant->cost(problem).useful;
  EXPECT_EQ(projected.multiply_adds, 12 * 4 * 2 + 6 * 6 * 3 + 6 * 6 * (3 + 1));
}

}  // namespace
}  // namespace subquad
