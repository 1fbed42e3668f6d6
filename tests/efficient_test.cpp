#include <gtest/gtest.h>

#include "support/feature_trials.h"

namespace subquad {
namespace {

// Softmaxes of exponents of a few units; sums of positive weights.
constexpr double kTolerance = 64 * std::numeric_limits<float>::epsilon();

TEST(Efficient, EqualsReference) {
  for (const Problem& problem : feature_problems_without_causality()) {
    EXPECT_LT(VariantTrial("efficient", problem).error(), kTolerance);
    EXPECT_LT(VariantTrial("efficient", problem, 2, 1, 5).error(), kTolerance);
  }
}

TEST(Efficient, EqualsItsDefinition) {
  // rho_q(Q) (rho_k(K)^T V), product by product, exponentials as they stand.
  const Problem problem{.queries = 7, .keys = 90, .dim = 4, .value_dim = 3};
  VariantTrial trial("efficient", problem);
  const std::vector<float> out = trial.forward();
  double context[4][3] = {};
  for (Index f = 0; f < 4; ++f) {
    double sum = 0;
    for (Index j = 0; j < 90; ++j) sum += std::exp(double{trial.k(j, f)});
    for (Index j = 0; j < 90; ++j) {
      for (Index c = 0; c < 3; ++c) {
        context[f][c] += std::exp(double{trial.k(j, f)}) / sum * trial.v(j, c);
      }
    }
  }
  for (Index i = 0; i < 7; ++i) {
    double sum = 0, output = 0;
    for (Index f = 0; f < 4; ++f) sum += std::exp(double{trial.q(i, f)});
    for (Index f = 0; f < 4; ++f) output += std::exp(double{trial.q(i, f)}) / sum * context[f][2];
    EXPECT_NEAR(out[3 * i + 2], output, kTolerance);
  }
}

TEST(Efficient, WeightsOfAQuerySumToOne) {
  VariantTrial trial("efficient", self_problem(40, 6, 2));
  const std::vector<double> weights = trial.weights();
  for (Index i = 0; i < 40; ++i) {
    double sum = 0;
    for (Index j = 0; j < 40; ++j) sum += weights[40 * i + j];
    EXPECT_NEAR(sum, 1, 1e-14);
  }
}

TEST(Efficient, EqualKeysGiveTheMean) {
  VariantTrial trial("efficient", self_problem(300, 4, 1), 1, 1e3);
  for (Index j = 0; j < 300; ++j) std::copy_n(&trial.k(0, 0), 4, &trial.k(j, 0));
  double mean = 0;
  for (Index j = 0; j < 300; ++j) mean += trial.v(j, 0) / 300;
  for (const float value : trial.forward()) EXPECT_NEAR(value, mean, kTolerance);
}

TEST(Efficient, ChannelsFarApartDoNotReachEachOther) {
  // Channel 0 has keys near 10^4 and picks the largest; channel 1 has equal ones near -10^4.
  VariantTrial trial("efficient", self_problem(50, 2, 1));
  for (Index j = 0; j < 50; ++j) {
    trial.k(j, 0) = 1e4f + static_cast<float>(100 * (j == 20));
    trial.k(j, 1) = -1e4f;
    trial.q(j, 0) = j % 2 == 0 ? 200.0f : -200.0f;
    trial.q(j, 1) = 0;
  }
  double mean = 0;
  for (Index j = 0; j < 50; ++j) mean += trial.v(j, 0) / 50;
  const std::vector<float> out = trial.forward();
  EXPECT_NEAR(out[0], trial.v(20, 0), kTolerance);
  EXPECT_NEAR(out[1], mean, kTolerance);
}

TEST(Efficient, RefusesCausality) {
  const Problem problem = self_problem(8, 4, 4, true);
  EXPECT_NE(VariantTrial("efficient", problem).variant->refuses(problem), "");
}

TEST(Efficient, CostIsTwoProductsAndTheSoftmaxes) {
  const Problem problem{.queries = 7, .keys = 20, .dim = 4, .value_dim = 3};
  VariantTrial trial("efficient", problem);
  const Work useful = trial.variant->cost(problem).useful;
  EXPECT_EQ(useful.multiply_adds, 20 * 4 * 3 + 7 * 4 * 3);
  EXPECT_EQ(useful.exponentials, 27 * 4);
  trial.forward();
  EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
  EXPECT_GE(trial.executed.exponentials, useful.exponentials);
}

}  // namespace
}  // namespace subquad
