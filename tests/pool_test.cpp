#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// Sums are in double but for one that is rounded on the way to the output, at most as large as the
// window times the largest value, and divided by the window.
constexpr double kTolerance = 4 * std::numeric_limits<float>::epsilon();

class PoolWindows : public testing::TestWithParam<Index> {};

TEST_P(PoolWindows, EqualsReference) {
  for (const bool subtract : {true, false}) {
    const std::string expression = "pool(window=" + std::to_string(GetParam()) +
                                   ",subtract=" + (subtract ? "true" : "false") + ")";
    for (const bool causal : {false, true}) {
      for (const Index n : {1, 2, 17, 131, 300}) {
        EXPECT_LT(VariantTrial(expression, self_problem(n, 2, 5, causal)).error(), kTolerance)
            << expression << n;
      }
      const Problem some{.queries = 70,
                         .keys = 210,
                         .dim = 2,
                         .value_dim = 5,
                         .causal = causal,
                         .first_query = 100};
      EXPECT_LT(VariantTrial(expression, some, 2, 1, 3).error(), kTolerance) << expression;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pool, PoolWindows, testing::Values(1, 2, 3, 4, 7, 63, 64, 65, 150, 1000));

TEST(Pool, BordersAreAveragesOfWhatIsThere) {
  VariantTrial trial("pool", self_problem(4, 1, 1));
  for (Index i = 0; i < 4; ++i) trial.v(i, 0) = static_cast<float>(i * i);
  // 0 1 4 9: means of two at the borders, of three within.
  const std::vector<float> expected = {0.5f - 0, 5 / 3.0f - 1, 14 / 3.0f - 4, 6.5f - 9};
  const std::vector<float> out = trial.forward();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], expected[i], 1e-6);
}

TEST(Pool, CausalWindowsEndAtTheToken) {
  VariantTrial trial("pool(subtract=false)", self_problem(4, 1, 1, true));
  for (Index i = 0; i < 4; ++i) trial.v(i, 0) = static_cast<float>(i * i);
  const std::vector<float> expected = {0, 0.5f, 5 / 3.0f, 14 / 3.0f};
  const std::vector<float> out = trial.forward();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], expected[i], 1e-6);
}

TEST(Pool, OverEverythingIsTheMean) {
  const Problem problem = self_problem(200, 3, 3);
  EXPECT_LT(expressions_difference("pool(window=401,subtract=false)", "mean", problem), kTolerance);
  const Problem causal = self_problem(200, 3, 3, true);
  EXPECT_LT(expressions_difference("pool(window=200,subtract=false)", "mean", causal), kTolerance);
}

TEST(Pool, AConstantLeavesNothing) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("pool(window=50)", self_problem(300, 2, 2, causal));
    std::fill(trial.v.values.begin(), trial.v.values.end(), 3.0f);
    // Three roundings in double.
    for (const float value : trial.forward()) EXPECT_NEAR(value, 0, 1e-15);
  }
}

TEST(Pool, WhatHasLeftTheWindowLeavesNoTrace) {
  // 1e30 before, and a NaN: a running sum would never be rid of either.
  for (const bool causal : {false, true}) {
    for (const float before : {1e30f, std::numeric_limits<float>::quiet_NaN()}) {
      VariantTrial clean("pool(window=40)", self_problem(500, 2, 2, causal));
      VariantTrial trial("pool(window=40)", self_problem(500, 2, 2, causal));
      trial.v(9, 1) = before;
      const std::vector<float> expected = clean.forward(), out = trial.forward();
      for (Index i = 9 + 40; i < 500; ++i) EXPECT_EQ(out[i * 2 + 1], expected[i * 2 + 1]) << i;
      if (causal) {
        EXPECT_EQ(trial.decode().back(), clean.decode().back());
      }
    }
  }
}

TEST(Pool, SeesNoFuture) {
  for (const char* expression : {"pool", "pool(window=100)", "pool(window=1000)"}) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(150, 3, 4, true)), 0) << expression;
  }
}

TEST(Pool, DecodesWithAStateOfTheWindow) {
  for (const Index window : {1, 2, 3, 64, 250, 1000}) {
    VariantTrial trial("pool(window=" + std::to_string(window) + ")",
                       self_problem(300, 2, 3, true));
    const std::vector<float> whole = trial.forward();
    EXPECT_LT(VariantTrial::difference(trial.decode(), whole), kTolerance) << window;
    EXPECT_EQ(trial.state_bytes,
              static_cast<std::size_t>(std::min<Index>(window, 300)) * 3 * 4 + 3 * 8);
  }
}

TEST(Pool, WeightsTimesValuesIsTheOutput) {
  for (const bool causal : {false, true}) {
    for (const char* expression : {"pool(window=4)", "pool(window=9,subtract=false)"}) {
      VariantTrial trial(expression, self_problem(30, 4, 3, causal));
      EXPECT_LE(trial.weights_error(), 1e-12);
    }
  }
}

TEST(Pool, WeightsAreTheAverageLessTheIdentity) {
  VariantTrial trial("pool", self_problem(5, 1, 1));
  const std::vector<double> weights = trial.weights();
  EXPECT_NEAR(weights[0], 0.5 - 1, 1e-15);
  EXPECT_NEAR(weights[1], 0.5, 1e-15);
  EXPECT_EQ(weights[2], 0);
  EXPECT_NEAR(weights[2 * 5 + 2], 1 / 3.0 - 1, 1e-15);
  EXPECT_NEAR(weights[2 * 5 + 3], 1 / 3.0, 1e-15);
}

TEST(Pool, RefusesQueriesThatAreNoKeys) {
  const Problem problem{.queries = 9, .keys = 8, .dim = 4, .value_dim = 4};
  EXPECT_NE(make_variant(parse_expression("pool"), problem)->refuses(problem), "");
}

TEST(Pool, ReadsEachTokenOfItsWindowsOnce) {
  const auto bytes = [](const Problem& problem) {
    return make_variant(parse_expression("pool(window=5)"), problem)->cost(problem).bytes;
  };
  EXPECT_EQ(bytes(self_problem(100, 2, 3)), 4 * 2 * 100 * 3);
  // Ten queries in the middle, and two keys on either side.
  EXPECT_EQ(bytes({.queries = 10, .keys = 100, .dim = 2, .value_dim = 3, .first_query = 50}),
            4 * (10 + 14) * 3);
}

}  // namespace
}  // namespace subquad
