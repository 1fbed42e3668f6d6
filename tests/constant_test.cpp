#include <gtest/gtest.h>

#include "support/fitting.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

// Sums of n products of order 1 / n with order 1.
constexpr double kTolerance = 16 * std::numeric_limits<float>::epsilon();

TEST(Constant, EqualsReference) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem :
         {self_problem(1, 3, 2, causal), self_problem(17, 4, 5, causal),
          self_problem(131, 4, 16, causal), self_problem(1201, 4, 3, causal),
          Problem{.queries = 70,
          .keys = 700,
          .dim = 2,
          .value_dim = 9,
          .causal = causal,
          .first_query = 333}}) {
      EXPECT_LT(VariantTrial("constant", problem).error(), kTolerance);
      VariantTrial trial("constant", problem, 2, 1, 3);
      Generator random(5);
      const View a = trial.tensors.writable("a");
      random.normals({a.data, static_cast<std::size_t>(a.rows * a.cols)});
      EXPECT_LT(trial.error(), kTolerance * std::sqrt(static_cast<double>(problem.keys)));
      EXPECT_LE(trial.weights_error(), 1e-10);
    }
  }
}

TEST(Constant, IsDrawnAsTheMean) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem : {self_problem(61, 4, 5, causal), Problem{.queries = 9,
                                                                   .keys = 40,
                                                                   .dim = 2,
                                                                   .value_dim = 3,
                                                                   .causal = causal,
                                                                   .first_query = 20}}) {
      EXPECT_LT(expressions_difference("constant", "mean", problem), kTolerance) << causal;
    }
  }
}

TEST(Constant, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("constant", self_problem(150, 6, 7, true)), 0);
}

TEST(Constant, UsefulWorkIsPairsTimesWidth) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("constant", self_problem(100, 8, 5, causal));
    trial.forward();
    const double useful = trial.variant->cost(trial.problem).useful.multiply_adds;
    EXPECT_EQ(useful, causal ? 5050 * 5 : 10000 * 5);
    EXPECT_GE(trial.executed.multiply_adds, useful);
  }
}

TEST(Constant, FindsAPlantedMatrix) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(24, 4, 8, causal);
    RowMajor<double> a = RowMajor<double>::Random(24, 24);
    if (causal) a = a.triangularView<Eigen::Lower>().toDenseMatrix();
    const auto windows = random_windows(problem, 6, 1, [&](const OwnedWindow& window) {
      return RowMajor<double>(a * window.v.cast<double>());
    });
    const FittedVariant fitted = FittedVariant("constant", problem).fit(windows);
    EXPECT_LT((fitted.matrix("a") - a).cwiseAbs().maxCoeff(), 1e-5) << causal;
  }
}

TEST(Constant, NoMoveOfTheMatrixLowersTheErrorOnItsOwnWindows) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(24, 4, 8, causal);
    const std::vector<OwnedWindow> windows = random_windows(problem, 6);
    const FittedVariant fitted = FittedVariant("constant", problem).fit(windows);
    const double least = fitted.error(windows);
    EXPECT_LT(least, FittedVariant("constant", problem).error(windows));
    const View a = fitted.tensor("a");
    Generator random(6);
    for (int trial = 0; trial < 50; ++trial) {
      const Index i = random.below(24), j = random.below(causal ? i + 1 : 24);
      const float before = a(i, j);
      for (const float step : {0.01f, -0.01f}) {
        a(i, j) = before + step;
        EXPECT_GT(fitted.error(windows), least);
      }
      a(i, j) = before;
    }
  }
}

/// Even windows of real queries, keys and values to fit, odd ones to be foretold.
class RealHeads : public testing::Test {
 protected:
  RealHeads()
      : input_(read_layer_input(SUBQUAD_SOURCE_DIR
                                "/experiments/data/sentence_encoder_layer0_n128.safetensors")),
        problem_(self_problem(input_.keys, input_.dim, input_.value_dim)) {}

  LayerInput input_;
  Problem problem_;
};

TEST_F(RealHeads, FittedMatricesForetellMoreThanTheMeanAndLessThanTheOracle) {
  for (Index head = 0; head < input_.heads; ++head) {
    const auto known = real_windows(input_, head, 0), unknown = real_windows(input_, head, 1);
    const double mean = FittedVariant("mean", problem_).error(unknown);
    const double least = FittedVariant("constant", problem_).fit(unknown).error(unknown);
    for (const char* expression :
         {"linformer(rank=32)", "mixer(activation=none,sharing=none)", "mixer(sharing=none)"}) {
      FittedVariant variant(expression, problem_);
      const double drawn = variant.error(unknown);
      const double fitted = variant.fit(known).error(unknown);
      EXPECT_LT(fitted, 0.85 * mean) << expression << " head " << head;
      EXPECT_LT(fitted, drawn) << expression << " head " << head;
      EXPECT_LT(least, fitted) << expression << " head " << head;
    }
  }
}

TEST_F(RealHeads, LayersOfAMixerThatHeadsShareForetellEachMoreThanTheMean) {
  std::vector<OwnedWindow> known;
  for (Index head = 0; head < input_.heads; ++head) {
    for (OwnedWindow& window : real_windows(input_, head, 0)) known.push_back(std::move(window));
  }
  const FittedVariant mixer = FittedVariant("mixer", problem_).fit(known);
  for (Index head = 0; head < input_.heads; ++head) {
    const auto unknown = real_windows(input_, head, 1);
    EXPECT_LT(mixer.error(unknown), FittedVariant("mean", problem_).error(unknown)) << head;
  }
}

}  // namespace
}  // namespace subquad
