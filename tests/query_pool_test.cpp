#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for dense attention, whose scores stay below 10 here.
constexpr double kTolerance = 10 * 16 * std::numeric_limits<float>::epsilon();

/// Softmax attention of the mean of each group of queries, by loops: [groups][value_dim].
std::vector<std::vector<double>> pooled(VariantTrial& trial, Index stride) {
  const Problem& p = trial.problem;
  std::vector<std::vector<double>> out;
  for (Index begin = 0; begin < p.queries; begin += stride) {
    const Index end = std::min(begin + stride, p.queries);
    std::vector<double> query(p.dim), row(p.value_dim);
    for (Index i = begin; i < end; ++i) {
      for (Index c = 0; c < p.dim; ++c) query[c] += trial.q(i, c);
    }
    double norm = 0;
    for (Index j = 0; j < p.keys; ++j) {
      double score = 0;
      for (Index c = 0; c < p.dim; ++c) score += query[c] * trial.k(j, c);
      const double weight = std::exp(score * p.score_scale() / static_cast<double>(end - begin));
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) row[c] += weight * trial.v(j, c);
    }
    for (double& value : row) value /= norm;
    out.push_back(std::move(row));
  }
  return out;
}

TEST(QueryPool, IsAttentionOfMeanQueries) {
  for (const Problem& problem :
       {self_problem(1, 4, 3), self_problem(17, 8, 5), self_problem(700, 16, 16),
        Problem{.queries = 40, .keys = 9, .dim = 3, .value_dim = 20}}) {
    for (const Index stride : {1, 2, 7, 64, 1000}) {
      const std::string expression = "query_pool(stride=" + std::to_string(stride);
      VariantTrial repeated(expression + ")", problem, 2, 1, 3);
      VariantTrial shortened(expression + ",output=pooled)", problem, 2, 1, 3);
      const auto groups = pooled(repeated, stride);
      std::vector<double> of_each, of_groups;
      for (Index i = 0; i < problem.queries; ++i) {
        const auto& row = groups[i / stride];
        of_each.insert(of_each.end(), row.begin(), row.end());
        for (Index c = 0; c < problem.value_dim; ++c) {
          of_groups.push_back(i < static_cast<Index>(groups.size()) ? groups[i][c] : 0);
        }
      }
      EXPECT_LT(VariantTrial::difference(repeated.forward(), of_each), kTolerance) << expression;
      EXPECT_LT(VariantTrial::difference(shortened.forward(), of_groups), kTolerance) << expression;
      // Means of scores in the place of scores of means, in double.
      EXPECT_LT(VariantTrial::difference(repeated.reference(), of_each), 1e-12);
      EXPECT_LT(VariantTrial::difference(shortened.reference(), of_groups), 1e-12);
    }
  }
}

TEST(QueryPool, RepeatsBitsAndPadsWithZeros) {
  VariantTrial repeated("query_pool(stride=4)", self_problem(10, 8, 5));
  VariantTrial shortened("query_pool(stride=4,output=pooled)", self_problem(10, 8, 5));
  const std::vector<float> of_each = repeated.forward(), of_groups = shortened.forward();
  for (Index i = 0; i < 10; ++i) {
    for (Index c = 0; c < 5; ++c) {
      EXPECT_EQ(of_each[i * 5 + c], of_groups[i / 4 * 5 + c]);
      if (i >= 3) {
        EXPECT_EQ(of_groups[i * 5 + c], 0);
      }
    }
  }
}

TEST(QueryPool, IsDenseAttentionAtStrideOne) {
  const Problem problem = self_problem(131, 8, 5);
  VariantTrial dense("dense", problem, 4);
  for (const char* expression : {"query_pool(stride=1)", "query_pool(stride=1,output=pooled)"}) {
    EXPECT_LT(
        VariantTrial::difference(VariantTrial(expression, problem, 4).forward(), dense.reference()),
        kTolerance);
  }
}

TEST(QueryPool, WeightsOfEveryGroupSumToOne) {
  VariantTrial trial("query_pool(stride=3,output=pooled)", self_problem(10, 4, 2));
  const std::vector<double> weights = trial.weights();
  for (Index i = 0; i < 10; ++i) {
    double sum = 0;
    for (Index j = 0; j < 10; ++j) sum += weights[i * 10 + j];
    EXPECT_NEAR(sum, i < 4 ? 1 : 0, 1e-14);
  }
}

TEST(QueryPool, CostIsThatOfTheGroups) {
  const Problem problem{.queries = 10, .keys = 20, .dim = 4, .value_dim = 6};
  const Cost cost = make_variant(parse_expression("query_pool(stride=3)"), problem)->cost(problem);
  EXPECT_EQ(cost.useful.multiply_adds, 4 * 20 * 10);
  EXPECT_TRUE(cost.exact);
}

TEST(QueryPool, RefusesCausality) {
  const Problem problem = self_problem(20, 4, 4, true);
  EXPECT_NE(make_variant(parse_expression("query_pool"), problem)->refuses(problem), "");
}

TEST(QueryPool, SurvivesExtremeScores) {
  VariantTrial trial("query_pool", self_problem(61, 8, 8), 3, 100);
  for (const float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace subquad
