#include <gtest/gtest.h>

#include "kernels/calibration.h"
#include "support/fitting.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

// Sums of products whose squares add up to order one.
constexpr double kTolerance = 16 * std::numeric_limits<float>::epsilon();

/// Biases that are not zero.
void draw_biases(VariantTrial& trial) {
  Generator random(4);
  for (const char* name : {"b1", "b2"}) {
    const View bias = trial.tensors.writable(name);
    random.normals({bias.data, static_cast<std::size_t>(bias.rows * bias.cols)});
  }
}

TEST(Mixer, EqualsReference) {
  // Errors are divided by the largest output. Seed 1 would draw weights for a single token whose
  // terms cancel to a thirtieth of their size.
  for (const Problem& problem : {self_problem(1, 2, 3), self_problem(17, 4, 5),
                                 self_problem(131, 4, 16), self_problem(2100, 4, 3)}) {
    for (const char* expression : {"mixer", "mixer(hidden=1)", "mixer(hidden=600,activation=none)",
                                   "mixer(hidden=33,sharing=none)"}) {
      EXPECT_LT(VariantTrial(expression, problem, 2).error(), kTolerance) << expression;
      VariantTrial strided(expression, problem, 3, 1, 3);
      draw_biases(strided);
      EXPECT_LT(strided.error(), kTolerance) << expression;
    }
  }
}

TEST(Mixer, IsTheFormula) {
  // Two tokens, one hidden: out_i = w2_i gelu(w1 x + b1) + b2_i.
  VariantTrial trial("mixer(hidden=1)", self_problem(2, 1, 1));
  const auto set = [&](const char* name, std::vector<float> values) {
    std::copy(values.begin(), values.end(), trial.tensors.writable(name).data);
  };
  set("w1", {2, -1}), set("b1", {0.5f}), set("w2", {3, -2}), set("b2", {10, 20});
  trial.x(0, 0) = 0.25f, trial.x(1, 0) = 0.75f;
  const std::vector<float> out = trial.forward();
  // 0.5 - 0.75 + 0.5 = 0.25, and Phi(0.25) = 0.598706325682924.
  const double mixed = 0.25 * 0.598706325682924;
  EXPECT_NEAR(out[0], 10 + 3 * mixed, 1e-5);
  EXPECT_NEAR(out[1], 20 - 2 * mixed, 1e-5);
}

class Sizes final : public TensorVisitor {
 public:
  Index numbers = 0;
  std::vector<Sharing> sharing;
  std::vector<bool> fitted;
  void declare(TensorDeclaration declaration) override {
    numbers += element_count(declaration.shape);
    sharing.push_back(declaration.sharing);
    fitted.push_back(declaration.is_fitted());
  }
};

TEST(Mixer, HasTwoLayersAndTheirBiases) {
  const Problem problem = self_problem(100, 4, 4);
  for (const auto& [expression, shared] :
       {std::pair("mixer(hidden=7)", Sharing::layer),
        std::pair("mixer(hidden=7,sharing=none,activation=none)", Sharing::head)}) {
    Sizes sizes;
    make_variant(parse_expression(expression), problem)->tensors(problem, sizes);
    EXPECT_EQ(sizes.numbers, 2 * 100 * 7 + 100 + 7);
    EXPECT_EQ(sizes.sharing, std::vector<Sharing>(4, shared));
    EXPECT_EQ(sizes.fitted, std::vector<bool>(4, true));
  }
}

TEST(Mixer, RefusesWhatItCannotDo) {
  const auto refusal = [](const Problem& problem) {
    return make_variant(parse_expression("mixer"), problem)->refuses(problem);
  };
  EXPECT_NE(refusal(self_problem(8, 4, 4, true)), "");
  EXPECT_NE(refusal({.queries = 4, .keys = 8, .dim = 4, .value_dim = 4}), "");
  EXPECT_EQ(refusal(self_problem(8, 4, 4)), "");
  VariantTrial trial("mixer", self_problem(8, 4, 4));
  trial.x.cols = 3;
  EXPECT_THROW(trial.forward(), Error);
}

TEST(Mixer, DoesAtLeastTheUsefulWork) {
  for (const char* expression : {"mixer(hidden=40)", "mixer(hidden=40,activation=none)"}) {
    VariantTrial trial(expression, self_problem(100, 8, 5));
    trial.forward();
    const Work useful = trial.variant->cost(trial.problem).useful;
    EXPECT_EQ(useful.multiply_adds, 2 * 100 * 40 * 5);
    EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
    EXPECT_EQ(trial.executed.exponentials, useful.exponentials);
  }
}

TEST(Mixer, FittedLinearLayersAreTheNearestMatrixOfTheirRank) {
  const Problem problem = self_problem(20, 4, 6);
  const std::vector<OwnedWindow> windows = random_windows(problem, 5);
  const ConstantFit fit = ridge_about_mean_attention(problem, views(windows), &Window::v);
  const auto product = [&](const char* expression) {
    const FittedVariant mixer = FittedVariant(expression, problem).fit(windows);
    EXPECT_EQ(mixer.matrix("b1").norm(), 0);
    EXPECT_EQ(mixer.matrix("b2").norm(), 0);
    return RowMajor<double>(mixer.matrix("w2") * mixer.matrix("w1"));
  };
  // With enough hidden rows it is the regression itself; the others are nearer to it the more they
  // have.
  EXPECT_LT((product("mixer(hidden=20,activation=none)") - fit.matrix).norm(), 1e-5);
  EXPECT_LT((product("mixer(hidden=25,activation=none)") - fit.matrix).norm(), 1e-5);
  const double few = (product("mixer(hidden=3,activation=none)") - fit.matrix).norm();
  const double more = (product("mixer(hidden=9,activation=none)") - fit.matrix).norm();
  EXPECT_GT(few, more);
  EXPECT_GT(more, 1e-3);
}

TEST(Mixer, FittedWithGeluItIsNearlyTheLinearOne) {
  const Problem problem = self_problem(40, 4, 6);
  const std::vector<OwnedWindow> windows = random_windows(problem, 5),
                                 others = random_windows(problem, 5, 9);
  for (const char* hidden : {"9", "50"}) {
    const std::string head = std::string("mixer(hidden=") + hidden;
    const FittedVariant linear = FittedVariant(head + ",activation=none)", problem).fit(windows);
    const FittedVariant gelu = FittedVariant(head + ")", problem).fit(windows);
    EXPECT_EQ(gelu.matrix("b1").minCoeff(), 4);
    for (const OwnedWindow& window : others) {
      const RowMajor<float> expected = linear.forward(window);
      // Normal pre-activations: below -3 from the shift, where GELU bends by 0.16, is 1 in 700.
      EXPECT_LT((gelu.forward(window) - expected).norm(), 0.05 * expected.norm()) << hidden;
    }
  }
}

TEST(Mixer, FittingTwiceGivesTheSameBits) {
  const Problem problem = self_problem(24, 4, 6);
  const std::vector<OwnedWindow> windows = random_windows(problem, 4);
  const FittedVariant one = FittedVariant("mixer", problem, 1).fit(windows);
  const FittedVariant other = FittedVariant("mixer", problem, 2).fit(windows);
  for (const char* name : {"w1", "b1", "w2", "b2"}) {
    EXPECT_EQ(one.matrix(name), other.matrix(name)) << name;
  }
}

}  // namespace
}  // namespace subquad
