#include <gtest/gtest.h>

#include "support/feature_trials.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Logarithms of features reach some ten units at each rounding; sums of positive terms.
constexpr double kTolerance = 64 * kEpsilon;

TEST(Hedgehog, EqualsReference) {
  for (const Problem& problem : feature_problems()) {
    for (const char* text : {"hedgehog", "hedgehog(chunk=7)"}) {
      EXPECT_LT(VariantTrial(text, problem).error(), kTolerance) << text;
      EXPECT_LT(VariantTrial(text, problem, 2, 1, 5).error(), kTolerance) << text;
    }
  }
}

/// softmax([2 x, -2 x]).
std::vector<double> features(const std::vector<double>& x) {
  std::vector<double> result;
  double sum = 0;
  for (const double sign : {2.0, -2.0}) {
    for (const double value : x) sum += result.emplace_back(std::exp(sign * value));
  }
  for (double& feature : result) feature /= sum;
  return result;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(Hedgehog, IsTheSoftmaxOfBothSignsByHand) {
  // Two keys, v = 1 and 0. First W is the identity, then one that swaps and scales for queries, and
  // one that turns the sign of a coordinate of keys.
  VariantTrial trial("hedgehog", {.queries = 1, .keys = 2, .dim = 2, .value_dim = 1});
  trial.q(0, 0) = 0.7f;
  trial.q(0, 1) = -0.4f;
  trial.k(0, 0) = 0.9f;
  trial.k(0, 1) = 0.2f;
  trial.k(1, 0) = -0.3f;
  trial.k(1, 1) = 1.1f;
  trial.v(0, 0) = 1;
  trial.v(1, 0) = 0;
  const auto share = [](const std::vector<double>& q, const std::vector<double>& first,
                        const std::vector<double>& second) {
    const double one = dot(features(q), features(first)), two = dot(features(q), features(second));
    return one / (one + two);
  };
  EXPECT_NEAR(trial.forward()[0], share({0.7, -0.4}, {0.9, 0.2}, {-0.3, 1.1}), 8 * kEpsilon);

  const View query = trial.tensors.writable("query_weights");
  query(0, 0) = query(1, 1) = 0;
  query(0, 1) = query(1, 0) = 2;
  trial.tensors.writable("key_weights")(0, 0) = -1;
  EXPECT_NEAR(trial.forward()[0], share({-0.8, 1.4}, {-0.9, 0.2}, {0.3, 1.1}), 8 * kEpsilon);
}

TEST(Hedgehog, QueriesAndKeysThatAreSharpElsewhereHaveWeights) {
  // phi(q) . phi(k) is some exp(-400): 0 in float, and its sum would divide by 0.
  VariantTrial trial("hedgehog", self_problem(3, 2, 1));
  for (Index i = 0; i < 3; ++i) {
    trial.q(i, 0) = 100;
    trial.k(i, 0) = -100;
    trial.q(i, 1) = trial.k(i, 1) = 0;
  }
  double mean = 0;
  for (Index i = 0; i < 3; ++i) mean += trial.v(i, 0) / 3;
  for (const float value : trial.forward()) EXPECT_NEAR(value, mean, 4 * kEpsilon);
}

TEST(Hedgehog, ChunkLengthChangesNothing) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(67, 4, 4, causal);
    for (Index chunk = 1; chunk < 67; ++chunk) {
      const std::string text = "hedgehog(chunk=" + std::to_string(chunk) + ")";
      EXPECT_LT(expressions_difference(text, "hedgehog(chunk=67)", problem), kTolerance) << text;
    }
  }
}

TEST(Hedgehog, StreamEqualsCausalForward) {
  EXPECT_LT(stream_difference("hedgehog", self_problem(4096, 8, 5, true)), kTolerance);
}

TEST(Hedgehog, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("hedgehog", self_problem(200, 6, 7, true)), 0);
  EXPECT_EQ(rows_that_see_the_future("hedgehog(chunk=9)", self_problem(200, 6, 7, true)), 0);
}

TEST(Hedgehog, CostIsProjectionFeaturesAndState) {
  const Problem problem = self_problem(6, 4, 3);
  VariantTrial trial("hedgehog", problem);
  const Work useful = trial.variant->cost(problem).useful;
  EXPECT_EQ(useful.multiply_adds, 12 * 4 * 4 + 6 * 8 * 3 + 6 * 8 * (3 + 1));
  EXPECT_EQ(useful.exponentials, 12 * 8);
  trial.forward();
  EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
  EXPECT_GE(trial.executed.exponentials, useful.exponentials);
}

}  // namespace
}  // namespace subquad
