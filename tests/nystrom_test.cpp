#include <gtest/gtest.h>

#include "layers/executor.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 10; F, B and their products come to the contract's 32 epsilon.
constexpr double kTolerance = 10 * 32 * kEpsilon;

std::string nystrom(Index landmarks, const std::string& more = {}) {
  return "nystrom(landmarks=" + std::to_string(landmarks) + more + ")";
}

/// Relative Frobenius distance of the reference from dense attention.
double distance_to_dense(VariantTrial& trial) {
  VariantTrial dense("dense", trial.problem);
  dense.q = trial.q;
  dense.k = trial.k;
  dense.v = trial.v;
  const std::vector<double> out = trial.reference(), exact = dense.reference();
  double off = 0, all = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    off += (out[i] - exact[i]) * (out[i] - exact[i]);
    all += exact[i] * exact[i];
  }
  return std::sqrt(off / all);
}

/// A head whose queries and keys change slowly along the length.
VariantTrial smooth(const std::string& expression, Index n) {
  VariantTrial trial(expression, self_problem(n, 4, 3));
  for (Index i = 0; i < n; ++i) {
    const double at = static_cast<double>(i) / static_cast<double>(n);
    for (Index c = 0; c < 4; ++c) {
      trial.q(i, c) = static_cast<float>(2 * std::sin(6 * at + static_cast<double>(c)));
      trial.k(i, c) = static_cast<float>(2 * std::cos(9 * at - static_cast<double>(c)));
    }
    for (Index c = 0; c < 3; ++c) {
      trial.v(i, c) = static_cast<float>(std::sin(20 * at * static_cast<double>(c + 1)));
    }
  }
  return trial;
}

TEST(Nystrom, EqualsReference) {
  for (const Problem& problem : {self_problem(17, 8, 5), self_problem(131, 16, 16),
                                 Problem{.queries = 2100, .keys = 19, .dim = 4, .value_dim = 6},
                                 Problem{.queries = 23, .keys = 2100, .dim = 4, .value_dim = 33}}) {
    for (const Index landmarks : {1, 2, 7, 13, 17}) {
      for (const char* more : {"", ",steps=1", ",steps=8", ",pinv=exact"}) {
        const std::string expression = nystrom(landmarks, more);
        EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance) << expression;
        EXPECT_LT(VariantTrial(expression, problem, 2, 1, 3).error(), kTolerance) << expression;
      }
    }
  }
  EXPECT_LT(VariantTrial(nystrom(1), self_problem(1, 3, 2)).error(), kTolerance);
  // Landmarks that take two tiles, and three stretches of keys.
  EXPECT_LT(VariantTrial(nystrom(200), self_problem(2100, 4, 4)).error(), kTolerance);
}

TEST(Nystrom, ExactInverseOfAllLandmarksIsDenseAttention) {
  for (const Index n : {1, 2, 17, 40}) {
    // Long queries and keys of many dimensions: rows of A are unlike one another.
    VariantTrial trial(nystrom(n, ",pinv=exact"), self_problem(n, 48, 5), 3, 1.5);
    EXPECT_LT(distance_to_dense(trial), 1e-10) << n;
  }
  // Ill-conditioned: what the cut leaves out of A is below 1e-8 of its norm.
  VariantTrial trial(nystrom(60, ",pinv=exact"), self_problem(60, 2, 5), 3, 0.5);
  EXPECT_LT(distance_to_dense(trial), 1e-6);
  EXPECT_EQ(trial.variant->exact_when(self_problem(60, 2, 5)), "landmarks=60,pinv=exact,conv=0");
}

TEST(Nystrom, OneLandmarkIsTheAttentionOfTheMeanQuery) {
  // A and F are ones: every row is softmax(mean q . K) V.
  VariantTrial trial(nystrom(1), self_problem(30, 6, 4));
  std::vector<double> expected(4);
  double norm = 0;
  for (Index j = 0; j < 30; ++j) {
    double score = 0;
    for (Index c = 0; c < 6; ++c) {
      double mean = 0;
      for (Index i = 0; i < 30; ++i) mean += trial.q(i, c) / 30.0;
      score += mean * trial.k(j, c);
    }
    const double weight = std::exp(score * trial.problem.score_scale());
    norm += weight;
    for (Index c = 0; c < 4; ++c) expected[c] += weight * trial.v(j, c);
  }
  const std::vector<float> out = trial.forward();
  for (Index i = 0; i < 30; ++i) {
    for (Index c = 0; c < 4; ++c) EXPECT_NEAR(out[i * 4 + c], expected[c] / norm, kTolerance);
  }
}

TEST(Nystrom, ErrorFallsWithLandmarksAndSteps) {
  // Not so with pinv=exact: nothing bounds the error of a few landmarks then.
  const auto error = [](Index landmarks, const char* more) {
    VariantTrial trial = smooth(nystrom(landmarks, more), 256);
    return distance_to_dense(trial);
  };
  EXPECT_LT(error(8, ""), error(2, ""));
  EXPECT_LT(error(32, ""), error(8, ""));
  EXPECT_LT(error(16, ",steps=8"), error(16, ",steps=6"));
  EXPECT_LT(error(16, ",steps=6"), error(16, ",steps=3"));
}

/// Two sequences of three heads. The last of the first sequence is always the same, and those of
/// all others are `sharpness` times as large as they could be.
LayerOutput layer_output(const std::string& expression, float sharpness) {
  LayerInput input{
      .batch = 2, .heads = 3, .key_heads = 3, .queries = 50, .keys = 50, .dim = 4, .value_dim = 4};
  Generator random(5);
  for (AlignedFloats* values : {&input.q, &input.k, &input.v}) {
    values->resize(2 * 3 * 50 * 4);
    for (std::size_t at = 0; at < values->size(); ++at) {
      const bool watched = at / (50 * 4) == 2;
      (*values)[at] = static_cast<float>(random.normal()) * (watched ? 1 : sharpness);
    }
  }
  const Layer layer(parse_expression(expression), self_problem(50, 4, 4), 3);
  const DrawnTensors tensors(layer, 1);
  Executor executor(layer, input, tensors, 2);
  LayerOutput output;
  executor.run(output, false);
  return output;
}

TEST(Nystrom, NoHeadDependsOnAnother) {
  for (const char* more : {"", ",pinv=exact"}) {
    const LayerOutput first = layer_output(nystrom(7, more), 1);
    const LayerOutput second = layer_output(nystrom(7, more), 10);
    for (Index i = 0; i < 50; ++i) {
      for (Index c = 0; c < 4; ++c) EXPECT_EQ(first.of(0, 2)(i, c), second.of(0, 2)(i, c));
    }
    EXPECT_NE(first.of(0, 1)(0, 0), second.of(0, 1)(0, 0));
  }
}

TEST(Nystrom, ConvolutionAddsNeighbouringValues) {
  VariantTrial without(nystrom(5), self_problem(19, 6, 4));
  VariantTrial with(nystrom(5, ",conv=3"), self_problem(19, 6, 4));
  const float weights[] = {0.5f, -1, 0.25f};
  for (Index t = 0; t < 3; ++t) with.tensors.writable("conv")(0, t) = weights[t];
  const std::vector<float> plain = without.forward(), out = with.forward();
  for (Index i = 0; i < 19; ++i) {
    for (Index c = 0; c < 4; ++c) {
      double expected = plain[i * 4 + c];
      for (Index t = 0; t < 3; ++t) {
        const Index j = i + t - 1;
        if (j >= 0 && j < 19) expected += double{weights[t]} * with.v(j, c);
      }
      EXPECT_NEAR(out[i * 4 + c], expected, 4 * 6 * kEpsilon);
    }
  }
  EXPECT_EQ(with.variant->target(with.problem), Target::operation);
  EXPECT_LT(VariantTrial(nystrom(5, ",conv=41"), self_problem(19, 6, 4)).error(), kTolerance);
}

TEST(Nystrom, WeightsTimesValuesIsTheOutput) {
  VariantTrial trial(nystrom(6, ",conv=3"), self_problem(30, 4, 1));
  EXPECT_LE(trial.weights_error(), 1e-12);
}

TEST(Nystrom, CostIsThatOfThePaper) {
  const Problem problem{.queries = 100, .keys = 50, .dim = 4, .value_dim = 6};
  const auto cost = [&](const std::string& more) {
    return make_variant(parse_expression(nystrom(8, more)), problem)->cost(problem);
  };
  // F and B with what they are multiplied by; A; four products a step; the inverse times B V.
  EXPECT_EQ(cost("").useful.multiply_adds,
            8 * (100 + 50) * 10 + 8 * 8 * 4 + 6 * 4 * 8 * 8 * 8 + 8 * 8 * 6);
  EXPECT_EQ(cost("").useful.exponentials, 8 * (100 + 50) + 8 * 8);
  EXPECT_TRUE(cost("").exact);
  EXPECT_FALSE(cost(",pinv=exact").exact);
  // A kernel of 3 meets 19, 20 and 19 rows of 20.
  const auto of_self = [](const std::string& more) {
    return make_variant(parse_expression(nystrom(8, more)), self_problem(20, 4, 6))
        ->cost(self_problem(20, 4, 6))
        .useful.multiply_adds;
  };
  EXPECT_EQ(of_self(",conv=3") - of_self(""), 58 * 6);
}

TEST(Nystrom, RefusesWhatItCannotDo) {
  const auto refusal = [](const std::string& expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  const Problem cross{.queries = 20, .keys = 30, .dim = 4, .value_dim = 4};
  EXPECT_NE(refusal(nystrom(4), self_problem(20, 4, 4, true)), "");
  EXPECT_NE(refusal(nystrom(21), cross), "");
  EXPECT_EQ(refusal(nystrom(20), cross), "");
  EXPECT_NE(refusal(nystrom(4, ",conv=4"), self_problem(20, 4, 4)), "");
  EXPECT_NE(refusal(nystrom(4, ",conv=3"), cross), "");
  EXPECT_EQ(refusal(nystrom(4, ",conv=3"), self_problem(20, 4, 4)), "");
}

TEST(Nystrom, SurvivesExtremeScores) {
  for (const char* more : {"", ",pinv=exact"}) {
    VariantTrial trial(nystrom(8, more), self_problem(61, 8, 8), 3, 100);
    for (const float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace subquad
