#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for dense attention; scores are not scaled, so the largest here is about 40.
constexpr double kTolerance = 40 * 16 * std::numeric_limits<float>::epsilon();

/// softmax(factor Q W K^T) V by loops; W is the identity where it is null.
std::vector<double> by_loops(VariantTrial& trial, const ConstView* w, double factor) {
  const Problem& p = trial.problem;
  std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
  for (Index i = 0; i < p.queries; ++i) {
    double norm = 0;
    for (Index j = 0; j < p.keys && (!p.causal || j <= i + p.first_query); ++j) {
      double score = 0;
      for (Index a = 0; a < p.dim; ++a) {
        for (Index b = 0; b < p.dim; ++b) {
          const double between = w == nullptr ? (a == b ? 1 : 0) : (*w)(a, b);
          score += between * trial.q(i, a) * trial.k(j, b);
        }
      }
      const double weight = std::exp(factor * score);
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * trial.v(j, c);
    }
    for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] /= norm;
  }
  return out;
}

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {
      self_problem(17, 8, 5), self_problem(131, 16, 16, true), self_problem(300, 4, 7),
      Problem{.queries = 7, .keys = 210, .dim = 4, .value_dim = 6},
      Problem{
          .queries = 5, .keys = 90, .dim = 6, .value_dim = 3, .causal = true, .first_query = 85}};
  return all;
}

TEST(Multiplicative, IsTheSoftmaxOfInnerProducts) {
  for (const Problem& problem : problems()) {
    VariantTrial dot("multiplicative(kind=dot)", problem);
    EXPECT_LT(VariantTrial::difference(dot.forward(), by_loops(dot, nullptr, 1)), kTolerance);
    VariantTrial general("multiplicative(kind=general)", problem);
    const ConstView w = general.tensors.matrix("w");
    EXPECT_LT(VariantTrial::difference(general.forward(), by_loops(general, &w, 1)), kTolerance);
    VariantTrial scaled("multiplicative(kind=general,scaled=true)", problem);
    const ConstView same = scaled.tensors.matrix("w");
    EXPECT_LT(
        VariantTrial::difference(scaled.forward(), by_loops(scaled, &same, problem.score_scale())),
        kTolerance);
  }
}

TEST(Multiplicative, EqualsReference) {
  for (const Problem& problem : problems()) {
    for (const char* expression : {"multiplicative", "multiplicative(kind=dot)"}) {
      EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance) << expression;
    }
  }
}

TEST(Multiplicative, ScaledDotIsDenseToTheBit) {
  for (const Problem& problem : problems()) {
    EXPECT_EQ(expressions_difference("multiplicative(kind=dot,scaled=true)", "dense", problem), 0);
  }
}

TEST(Multiplicative, GeneralIsDenseWhereTheMatrixIsTheScale) {
  for (const Problem& problem : problems()) {
    VariantTrial trial("multiplicative(kind=general)", problem);
    const View w = trial.tensors.writable("w");
    for (Index a = 0; a < w.rows; ++a) {
      for (Index b = 0; b < w.cols; ++b) {
        w(a, b) = a == b ? static_cast<float>(problem.score_scale()) : 0;
      }
    }
    EXPECT_LT(VariantTrial::difference(trial.forward(), VariantTrial("dense", problem).forward()),
              kTolerance);
  }
}

TEST(Multiplicative, MatrixIsDrawnNearTheIdentity) {
  constexpr Index kDim = 64;
  VariantTrial trial("multiplicative", self_problem(2, kDim, 2));
  const ConstView w = trial.tensors.matrix("w");
  double squares = 0, trace = 0;
  for (Index a = 0; a < kDim; ++a) {
    trace += w(a, a);
    for (Index b = 0; b < kDim; ++b) squares += std::pow(w(a, b) - (a == b ? 1 : 0), 2);
  }
  // dim^2 elements of variance 0.01 / dim; five standard deviations of their mean square.
  EXPECT_NEAR(squares / (0.01 * kDim), 1, 5 * std::sqrt(2.0) / kDim);
  EXPECT_NEAR(trace, kDim, 0.5);
}

TEST(Multiplicative, DoesNotSeeTheFuture) {
  for (const char* expression : {"multiplicative", "multiplicative(kind=dot)"}) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(150, 8, 8, true)), 0);
  }
}

}  // namespace
}  // namespace subquad
