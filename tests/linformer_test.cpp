#include <gtest/gtest.h>

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
         {"linformer(rank=9)", "linformer(rank=17,projection=segment_means)",
          "linformer(rank=3,sharing=kv)", "linformer(rank=5,sharing=headwise)",
          "linformer(rank=min(n,100))", "linformer(rank=4,sharing=layerwise)"}) {
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

TEST(Linformer, SegmentMeansOfEqualKeysAreDenseAttention) {
  // Keys and values that are constant on each of 5 segments: every mean is one of them, and the
  // softmax over 5 keys with equal multiplicity is the softmax over all.
  VariantTrial trial("linformer(rank=5,projection=segment_means)", self_problem(40, 4, 3));
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

/// Notes how each tensor is shared.
class SharingVisitor final : public TensorVisitor {
 public:
  std::vector<std::pair<std::string, Sharing>> seen;

 protected:
  void floats(std::string_view name, Shape, Initialiser, Role, Sharing sharing,
              std::string_view) override {
    seen.emplace_back(name, sharing);
  }
  void integers(std::string_view, Shape, Initialiser, Role, Sharing, std::string_view) override {}
};

TEST(Linformer, SharingIsThePapers) {
  const Problem problem = self_problem(20, 4, 3);
  const auto sharing = [&](const char* expression) {
    SharingVisitor visitor;
    make_variant(parse_expression(expression), problem)->tensors(problem, visitor);
    return visitor.seen;
  };
  using List = std::vector<std::pair<std::string, Sharing>>;
  EXPECT_EQ(sharing("linformer(rank=4)"), (List{{"e", Sharing::head}, {"f", Sharing::head}}));
  EXPECT_EQ(sharing("linformer(rank=4,sharing=headwise)"),
            (List{{"e", Sharing::layer}, {"f", Sharing::layer}}));
  EXPECT_EQ(sharing("linformer(rank=4,sharing=kv)"), (List{{"e", Sharing::layer}}));
  EXPECT_EQ(sharing("linformer(rank=4,sharing=layerwise)"), (List{{"e", Sharing::model}}));
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
  const std::vector<double> weights = trial.weights(), expected = trial.reference();
  for (Index i = 0; i < 30; ++i) {
    double sum = 0;
    for (Index j = 0; j < 30; ++j) sum += weights[i * 30 + j] * trial.v(j, 0);
    EXPECT_NEAR(sum, expected[i], 1e-12);
  }
}

TEST(Linformer, RefusesWhatItCannotDo) {
  const auto refusal = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  EXPECT_NE(refusal("linformer(rank=4)", self_problem(20, 4, 4, true)), "");
  EXPECT_NE(refusal("linformer(rank=21)", self_problem(20, 4, 4)), "");
  EXPECT_NE(refusal("linformer(rank=4,projection=identity)", self_problem(20, 4, 4)), "");
  EXPECT_EQ(refusal("linformer(rank=20)", self_problem(20, 4, 4)), "");
}

TEST(Linformer, SurvivesExtremeScores) {
  VariantTrial trial("linformer(rank=8)", self_problem(61, 8, 8), 3, 30);
  for (float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace subquad
