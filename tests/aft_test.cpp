#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// |k + w| stays below 6 here; means of positive weights lose a few roundings for each of the tiles
// of 64 keys on the way.
constexpr double kTolerance = 6 * 16 * std::numeric_limits<float>::epsilon();

const char* const kExpressions[] = {"aft", "aft(kind=simple)", "aft(kind=local,window=1)",
                                    "aft(kind=local,window=20)", "aft(kind=local,window=150)"};

/// Replaces the small initial bias by one of standard deviation `std`.
void draw_bias(VariantTrial& trial, double std) {
  const View w = trial.tensors.writable("w");
  Generator random(99);
  for (Index i = 0; i < w.rows * w.cols; ++i) w.data[i] = static_cast<float>(std * random.normal());
}

bool has_bias(const std::string& expression) {
  return expression.find("simple") == std::string::npos;
}

class AftShapes : public testing::TestWithParam<Problem> {};

TEST_P(AftShapes, EqualsReference) {
  for (const char* expression : kExpressions) {
    VariantTrial trial(expression, GetParam());
    EXPECT_LT(trial.error(), kTolerance) << expression;
    if (has_bias(expression)) {
      draw_bias(trial, 1);
      EXPECT_LT(trial.error(), kTolerance) << expression << " with a large bias";
    }
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 3).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Aft, AftShapes,
    testing::Values(self_problem(1, 3, 3), self_problem(1, 3, 3, true), self_problem(17, 8, 8),
                    self_problem(17, 8, 8, true), self_problem(131, 5, 5),
                    self_problem(131, 5, 5, true), self_problem(400, 4, 4),
                    self_problem(400, 4, 4, true),
                    Problem{.queries = 200, .keys = 70, .dim = 3, .value_dim = 3},
                    Problem{.queries = 9, .keys = 170, .dim = 3, .value_dim = 3},
                    Problem{.queries = 9,
                            .keys = 170,
                            .dim = 3,
                            .value_dim = 3,
                            .causal = true,
                            .first_query = 161},
                    Problem{.queries = 90,
                            .keys = 170,
                            .dim = 3,
                            .value_dim = 3,
                            .causal = true,
                            .first_query = 31}));

TEST(Aft, EqualKeysGiveTheGatedMean) {
  VariantTrial trial("aft(kind=simple)", self_problem(100, 2, 2, true));
  std::fill(trial.k.values.begin(), trial.k.values.end(), 3.0f);
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  const std::vector<float> out = trial.forward();
  double sum = 0;
  for (Index i = 0; i < 100; ++i) {
    sum += trial.v(i, 1);
    EXPECT_NEAR(out[i * 2 + 1], sum / static_cast<double>(i + 1) / 2, 1e-6);
  }
}

TEST(Aft, OutsideTheWindowTheBiasIsZeroAndTheKeyStays) {
  // A bias of -60 within the window leaves all weight to the keys outside.
  VariantTrial trial("aft(kind=local,window=3)", self_problem(200, 1, 1));
  std::fill(trial.k.values.begin(), trial.k.values.end(), 0.0f);
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  const View w = trial.tensors.writable("w");
  std::fill_n(w.data, w.rows * w.cols, -60.0f);
  const std::vector<float> out = trial.forward();
  for (const Index t : {0, 1, 70, 199}) {
    double sum = 0, count = 0;
    for (Index j = 0; j < 200; ++j) {
      if (std::abs(t - j) < 3) continue;
      sum += trial.v(j, 0);
      count += 1;
    }
    EXPECT_NEAR(out[t], sum / count / 2, 1e-6);
  }
}

TEST(Aft, LocalWithAWindowOverEverythingIsFull) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(90, 4, 4, causal);
    VariantTrial full("aft", problem), local("aft(kind=local,window=90)", problem);
    draw_bias(full, 1);
    for (Index t = 0; t < 90; ++t) {
      for (Index j = 0; j < 90; ++j) {
        local.tensors.writable("w")(t, j - t + 89) = full.tensors.matrix("w")(t, j);
      }
    }
    EXPECT_LT(VariantTrial::difference(local.forward(), full.forward()), kTolerance);
  }
}

TEST(Aft, SeesNoFuture) {
  for (const char* expression : kExpressions) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(200, 5, 5, true)), 0) << expression;
  }
}

TEST(Aft, SimpleIgnoresTheOrderOfKeys) {
  const Problem problem = self_problem(150, 4, 4);
  VariantTrial trial("aft(kind=simple)", problem), reversed("aft(kind=simple)", problem);
  ASSERT_TRUE(trial.variant->ignores_key_order(problem));
  for (Index j = 0; j < 150; ++j) {
    for (Index c = 0; c < 4; ++c) {
      reversed.k(j, c) = trial.k(149 - j, c);
      reversed.v(j, c) = trial.v(149 - j, c);
    }
  }
  EXPECT_LT(VariantTrial::difference(reversed.forward(), trial.forward()), kTolerance);
}

TEST(Aft, SurvivesExtremeKeys) {
  for (const bool causal : {false, true}) {
    for (const char* expression : kExpressions) {
      VariantTrial trial(expression, self_problem(150, 5, 5, causal), 4, 1e4);
      // One part in 10^7 of a score of 4e4 is a relative error of 4e-3 of its exponential.
      EXPECT_LT(trial.error(), 4e4 * 4 * std::numeric_limits<float>::epsilon()) << expression;
    }
  }
}

TEST(Aft, SurvivesBiasesThatUndoTheKeys) {
  // The largest key has a bias of -200, the largest bias a key of -150: neither shift alone keeps
  // the terms that count in range.
  for (const bool causal : {false, true}) {
    for (const char* expression : {"aft", "aft(kind=local,window=70)"}) {
      VariantTrial trial(expression, self_problem(70, 2, 2, causal));
      const View w = trial.tensors.writable("w");
      for (Index t = 0; t < 70; ++t) {
        for (Index j = 0; j < 70; ++j) {
          const Index column = w.cols == 70 ? j : j - t + 69;
          w(t, column) = j == 0 ? -200.0f : j == 1 ? 0.0f : -100.0f;
        }
      }
      for (Index j = 0; j < 70; ++j) {
        for (Index c = 0; c < 2; ++c) trial.k(j, c) = j == 0 ? 0.0f : j == 1 ? -150.0f : -55.0f;
      }
      EXPECT_LT(trial.error(), 200 * 4 * std::numeric_limits<float>::epsilon()) << expression;
    }
  }
}

TEST(Aft, RefusesUnlikeWidths) {
  const Problem problem = self_problem(8, 4, 5);
  EXPECT_NE(make_variant(parse_expression("aft"), problem)->refuses(problem), "");
}

TEST(Aft, UsefulWorkCountsPairsInTheWindow) {
  const auto exponentials = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->cost(problem).useful.exponentials;
  };
  // exp of 10 x 2 keys and 10 x 2 gates, and of every biased pair.
  EXPECT_EQ(exponentials("aft", self_problem(10, 2, 2)), 40 + 100);
  EXPECT_EQ(exponentials("aft", self_problem(10, 2, 2, true)), 40 + 55);
  EXPECT_EQ(exponentials("aft(kind=simple)", self_problem(10, 2, 2)), 40);
  EXPECT_EQ(exponentials("aft(kind=local,window=2)", self_problem(10, 2, 2)), 40 + 28);
  EXPECT_EQ(exponentials("aft(kind=local,window=2)", self_problem(10, 2, 2, true)), 40 + 19);
}

TEST(Aft, DoesAtLeastTheUsefulWork) {
  for (const char* expression : kExpressions) {
    for (const bool causal : {false, true}) {
      for (const Index n : {1, 17, 150}) {
        VariantTrial trial(expression, self_problem(n, 5, 5, causal));
        trial.forward();
        const Work useful = trial.variant->cost(trial.problem).useful;
        EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds) << expression << n;
        EXPECT_GE(trial.executed.exponentials, useful.exponentials) << expression << n;
      }
    }
  }
}

}  // namespace
}  // namespace subquad
