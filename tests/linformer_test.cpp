#include <gtest/gtest.h>

#include "support/fitting.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for dense attention over `rank` keys, whose scores are sums over n keys: largest here
// about 30.
constexpr double kTolerance = 30 * 16 * std::numeric_limits<float>::epsilon();

/// softmax(scale Q K^T) V, by loops.
std::vector<double> dense(VariantTrial& trial) {
  const Problem& p = trial.problem;
  std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
  for (Index i = 0; i < p.queries; ++i) {
    double norm = 0;
    for (Index j = 0; j < p.keys; ++j) {
      double score = 0;
      for (Index c = 0; c < p.dim; ++c) score += double{trial.q(i, c)} * trial.k(j, c);
      const double weight = std::exp(score * p.score_scale());
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * trial.v(j, c);
    }
    for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] /= norm;
  }
  return out;
}

TEST(Linformer, EqualsReference) {
  for (const Problem& problem : {self_problem(17, 8, 5), self_problem(131, 16, 16),
                                 Problem{.queries = 7, .keys = 2100, .dim = 4, .value_dim = 6}}) {
    for (const char* expression :
         {"linformer(rank=9)", "linformer(rank=17,projection=mean_pool)",
          "linformer(rank=7,projection=gaussian)", "linformer(rank=3,sharing=kv)",
          "linformer(rank=5,sharing=headwise)", "linformer(rank=min(n,100))",
          "linformer(rank=4,sharing=layerwise)"}) {
      EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance) << expression;
      EXPECT_LT(VariantTrial(expression, problem, 2, 1, 3).error(), kTolerance) << expression;
    }
  }
  EXPECT_LT(VariantTrial("linformer(rank=1)", self_problem(1, 3, 2)).error(), kTolerance);
}

TEST(Linformer, IdentityIsDenseAttention) {
  for (const Index n : {1, 17, 131}) {
    const std::string setting = VariantTrial("linformer(rank=1)", self_problem(n, 8, 5))
                                    .variant->exact_when(self_problem(n, 8, 5));
    VariantTrial trial("linformer(" + setting + ")", self_problem(n, 8, 5));
    EXPECT_EQ(trial.variant->refuses(trial.problem), "");
    EXPECT_LT(VariantTrial::difference(trial.forward(), dense(trial)), kTolerance) << n;
  }
}

TEST(Linformer, MeansOfEqualKeysAreDenseAttention) {
  // Keys and values that are constant on each of 5 segments: every mean is one of them, and the
  // softmax over 5 keys with equal multiplicity is the softmax over all.
  VariantTrial trial("linformer(rank=5,projection=mean_pool)", self_problem(40, 4, 3));
  for (Index j = 0; j < 40; ++j) {
    for (Index c = 0; c < 4; ++c) trial.k(j, c) = trial.k(j / 8 * 8, c);
    for (Index c = 0; c < 3; ++c) trial.v(j, c) = trial.v(j / 8 * 8, c);
  }
  EXPECT_LT(VariantTrial::difference(trial.forward(), dense(trial)), kTolerance);
}

TEST(Linformer, ValuesHaveTheirOwnProjectionUnlessShared) {
  VariantTrial apart("linformer(rank=4)", self_problem(20, 4, 3));
  const std::vector<float> before = apart.forward();
  for (Index j = 0; j < 20; ++j) apart.tensors.writable("f")(2, j) += 1;
  EXPECT_NE(apart.forward(), before);
  VariantTrial shared("linformer(rank=4,sharing=kv)", self_problem(20, 4, 3));
  EXPECT_THROW(shared.tensors.matrix("f"), std::logic_error);
}

/// Notes how each tensor is shared, what its role is and how many numbers it holds.
class TensorNotes final : public TensorVisitor {
 public:
  std::vector<std::pair<std::string, Sharing>> seen;
  std::vector<Role> roles;
  std::vector<Index> sizes;
  std::vector<bool> fitted;

  void declare(TensorDeclaration declaration) override {
    seen.emplace_back(declaration.name, declaration.sharing);
    roles.push_back(declaration.role);
    sizes.push_back(element_count(declaration.shape));
    fitted.push_back(declaration.is_fitted());
  }
};

TensorNotes notes_of(const char* expression, const Problem& problem) {
  TensorNotes notes;
  make_variant(parse_expression(expression), problem)->tensors(problem, notes);
  return notes;
}

TEST(Linformer, SharingIsThePapers) {
  const Problem problem = self_problem(20, 4, 3);
  using List = std::vector<std::pair<std::string, Sharing>>;
  for (const std::string projection : {"learned", "gaussian", "conv"}) {
    const auto sharing = [&](const std::string& of) {
      const std::string expression = "linformer(rank=4,projection=" + projection + of + ")";
      return notes_of(expression.c_str(), problem).seen;
    };
    EXPECT_EQ(sharing(""), (List{{"e", Sharing::head}, {"f", Sharing::head}}));
    EXPECT_EQ(sharing(",sharing=headwise"), (List{{"e", Sharing::layer}, {"f", Sharing::layer}}));
    EXPECT_EQ(sharing(",sharing=kv"), (List{{"e", Sharing::layer}}));
    EXPECT_EQ(sharing(",sharing=layerwise"), (List{{"e", Sharing::model}}));
  }
}

TEST(Linformer, OnlyMatricesAndConvolutionsHaveTensors) {
  const Problem problem = self_problem(20, 4, 3);
  EXPECT_EQ(notes_of("linformer(rank=4)", problem).sizes, (std::vector<Index>{80, 80}));
  EXPECT_EQ(notes_of("linformer(rank=4)", problem).roles.front(), Role::learned);
  EXPECT_EQ(notes_of("linformer(rank=4,projection=gaussian)", problem).roles.front(), Role::random);
  EXPECT_EQ(notes_of("linformer(rank=4,projection=conv)", problem).sizes,
            (std::vector<Index>{5, 5}));
  EXPECT_TRUE(notes_of("linformer(rank=4,projection=mean_pool)", problem).sizes.empty());
  EXPECT_TRUE(notes_of("linformer(rank=20,projection=identity)", problem).sizes.empty());
}

TEST(Linformer, LearnedMatricesStartAsGaussianOnes) {
  VariantTrial learned("linformer(rank=9)", self_problem(33, 4, 3), 5);
  VariantTrial gaussian("linformer(rank=9,projection=gaussian)", self_problem(33, 4, 3), 5);
  EXPECT_EQ(learned.forward(), gaussian.forward());
}

TEST(Linformer, ConvolutionsEqualReference) {
  const Problem cross{.queries = 7, .keys = 2100, .dim = 4, .value_dim = 70};
  for (const char* expression : {"linformer(rank=21,projection=conv)",
                                 "linformer(rank=2100,projection=conv,sharing=headwise)",
                                 "linformer(rank=1,projection=conv,sharing=layerwise)"}) {
    EXPECT_LT(VariantTrial(expression, cross, 2, 1, 3).error(), kTolerance) << expression;
  }
}

TEST(Linformer, ConvolutionOfEqualWeightsIsTheMean) {
  VariantTrial conv("linformer(rank=8,projection=conv)", self_problem(40, 4, 3));
  VariantTrial mean("linformer(rank=8,projection=mean_pool)", self_problem(40, 4, 3));
  for (const char* name : {"e", "f"}) {
    for (Index t = 0; t < 5; ++t) {
      // What it starts with is near that: ten standard deviations.
      EXPECT_NEAR(conv.tensors.matrix(name)(0, t), 0.2, 10 * 0.1 * 0.2);
      conv.tensors.writable(name)(0, t) = 0.2f;
    }
  }
  const std::vector<float> means = mean.forward();
  EXPECT_LT(
      VariantTrial::difference(conv.forward(), std::vector<double>(means.begin(), means.end())),
      kTolerance);
}

TEST(Linformer, PoolingCostsNoProduct) {
  const Problem problem = self_problem(600, 16, 8);
  const auto cost = [&](const char* expression) {
    VariantTrial trial(expression, problem);
    trial.forward();
    const double useful = trial.variant->cost(problem).useful.multiply_adds;
    EXPECT_GE(trial.executed.multiply_adds, useful);
    return useful;
  };
  const double attention = 600 * 60 * 24;
  EXPECT_EQ(cost("linformer(rank=60,projection=mean_pool)"), attention);
  EXPECT_EQ(cost("linformer(rank=60,projection=conv)"), attention + 600 * 24);
  EXPECT_EQ(cost("linformer(rank=60)"), 2 * attention);
  EXPECT_EQ(cost("linformer(rank=600,projection=identity)"), 600 * 600 * 24);
}

TEST(Linformer, GaussianProjectionHasVarianceOneOverRank) {
  VariantTrial trial("linformer(rank=50)", self_problem(2000, 4, 3));
  const ConstView e = trial.tensors.matrix("e");
  double squares = 0;
  for (Index i = 0; i < e.rows * e.cols; ++i) squares += e.data[i] * e.data[i];
  // Five standard errors of the mean of 10^5 squares.
  EXPECT_NEAR(squares / 100000, 1 / 50.0, 5 * std::sqrt(2e-5) / 50);
}

TEST(Linformer, WeightsTimesValuesIsTheOutput) {
  VariantTrial trial("linformer(rank=6)", self_problem(30, 4, 1));
  EXPECT_LE(trial.weights_error(), 1e-12);
}

TEST(Linformer, RefusesWhatItCannotDo) {
  const auto refusal = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  EXPECT_NE(refusal("linformer(rank=4)", self_problem(20, 4, 4, true)), "");
  EXPECT_NE(refusal("linformer(rank=21)", self_problem(20, 4, 4)), "");
  EXPECT_NE(refusal("linformer(rank=4,projection=identity)", self_problem(20, 4, 4)), "");
  EXPECT_NE(refusal("linformer(rank=6,projection=conv)", self_problem(20, 4, 4)), "");
  EXPECT_EQ(refusal("linformer(rank=5,projection=conv)", self_problem(20, 4, 4)), "");
  EXPECT_EQ(refusal("linformer(rank=20)", self_problem(20, 4, 4)), "");
}

TEST(Linformer, OnlyLearnedMatricesThatAreApartAreFitted) {
  const Problem problem = self_problem(20, 4, 3);
  const auto fitted = [&](const char* expression) { return notes_of(expression, problem).fitted; };
  using List = std::vector<bool>;
  EXPECT_EQ(fitted("linformer(rank=4)"), (List{true, true}));
  EXPECT_EQ(fitted("linformer(rank=4,sharing=headwise)"), (List{true, true}));
  EXPECT_EQ(fitted("linformer(rank=4,sharing=kv)"), (List{false}));
  EXPECT_EQ(fitted("linformer(rank=4,sharing=layerwise)"), (List{false}));
  EXPECT_EQ(fitted("linformer(rank=4,projection=gaussian)"), (List{false, false}));
  EXPECT_EQ(fitted("linformer(rank=4,projection=conv)"), (List{false, false}));
}

/// softmax(scale Q (E K)^T) F V in double, E the means of 4 segments of 5 keys.
RowMajor<double> projected_attention(const Problem& problem, const OwnedWindow& window,
                                     const RowMajor<double>& f) {
  RowMajor<double> keys = RowMajor<double>::Zero(4, problem.dim);
  for (Index j = 0; j < 20; ++j) keys.row(j / 5) += window.k.row(j).cast<double>() / 5;
  RowMajor<double> weights =
      (problem.score_scale() * window.q.cast<double>() * keys.transpose()).array().exp();
  for (Index i = 0; i < weights.rows(); ++i) weights.row(i) /= weights.row(i).sum();
  return weights * f * window.v.cast<double>();
}

TEST(Linformer, FindsAPlantedProjectionOfValues) {
  const Problem problem = self_problem(20, 4, 8);
  Generator random(7);
  const auto planted = RowMajor<double>::NullaryExpr(4, 20, [&] { return random.normal(); }).eval();
  const auto make = [&](const OwnedWindow& window) {
    return projected_attention(problem, window, planted);
  };
  const auto windows = random_windows(problem, 12, 1, make);
  const FittedVariant fitted = FittedVariant("linformer(rank=4)", problem).fit(windows);
  for (Index r = 0; r < 4; ++r) {
    for (Index j = 0; j < 20; ++j) {
      EXPECT_EQ(fitted.matrix("e")(r, j), j / 5 == r ? double{0.2f} : 0) << r << ' ' << j;
    }
  }
  // The smallest penalty is chosen; it holds F back by a thousandth where windows say much, and
  // more where they say little.
  EXPECT_LT((fitted.matrix("f") - planted).norm(), 0.05 * planted.norm());
  EXPECT_LT(fitted.error(random_windows(problem, 4, 2, make)), 0.02);
}

TEST(Linformer, NoiseDoesNotMoveValuesFromTheMeansOfSegments) {
  const Problem problem = self_problem(20, 4, 8);
  RowMajor<double> means = RowMajor<double>::Zero(4, 20);
  for (Index j = 0; j < 20; ++j) means(j / 5, j) = 0.2;
  Generator random(7);
  const auto noisy = random_windows(problem, 6, 1, [&](const OwnedWindow& window) {
    return RowMajor<double>(projected_attention(problem, window, means).unaryExpr([&](double mean) {
      return mean + random.normal();
    }));
  });
  const FittedVariant fitted = FittedVariant("linformer(rank=4)", problem).fit(noisy);
  // The largest penalty is chosen: about a hundredth of the way to where the noise pulls.
  EXPECT_LT((fitted.matrix("f") - means).norm(), 0.05 * means.norm());
}

TEST(Linformer, SurvivesExtremeScores) {
  VariantTrial trial("linformer(rank=8)", self_problem(61, 8, 8), 3, 30);
  for (float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace subquad
