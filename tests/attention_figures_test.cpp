#include "measuring/attention_figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "layers/catalogue.h"
#include "measuring/reference.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

using Doubles = std::vector<double>;

const AttentionFigure& figure(std::string_view key) {
  const auto all = attention_figures();
  return *std::find_if(all.begin(), all.end(),
                       [&](const AttentionFigure& one) { return one.key == key; });
}

double of(std::string_view key, const Doubles& values) { return figure(key).figure(values); }

TEST(AttentionFigures, OfKnownSingularValues) {
  EXPECT_NEAR(of("effective_rank", {2, 2, 2, 2}), 4, 1e-12);
  EXPECT_NEAR(of("effective_rank", {7, 0, 0}), 1, 1e-12);
  // Shares 1/2, 1/4, 1/4: entropy 1.5 ln 2.
  EXPECT_NEAR(of("effective_rank", {2, 1, 1}), std::pow(2, 1.5), 1e-12);
  // Squares 9, 4, 1, 1: of 15, 86.7 %, 100 * 13 / 15 %, ...
  EXPECT_EQ(of("rank_90", {3, 2, 1, 1}), 3);
  EXPECT_EQ(of("rank_99", {3, 2, 1, 1}), 4);
  EXPECT_EQ(of("rank_90", {10, 1, 1, 1}), 1);
  EXPECT_EQ(of("rank_99", {10, 1, 1, 1}), 3);
}

/// Power sums of the squared singular values, which are traces of powers of A A^T: as many as there
/// are values would fix them all.
Doubles traces(const Doubles& matrix, Index rows, Index cols) {
  Doubles gram(static_cast<std::size_t>(rows * rows));
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < rows; ++j) {
      for (Index c = 0; c < cols; ++c) {
        gram[i * rows + j] += matrix[i * cols + c] * matrix[j * cols + c];
      }
    }
  }
  Doubles power = gram, found;
  for (int exponent = 1; exponent <= 6; ++exponent) {
    double trace = 0;
    for (Index i = 0; i < rows; ++i) trace += power[i * rows + i];
    found.push_back(trace);
    Doubles next(power.size());
    for (Index i = 0; i < rows; ++i) {
      for (Index k = 0; k < rows; ++k) {
        for (Index j = 0; j < rows; ++j) {
          next[i * rows + j] += power[i * rows + k] * gram[k * rows + j];
        }
      }
    }
    power = std::move(next);
  }
  return found;
}

TEST(AttentionFigures, SingularValuesHaveThePowerSumsOfTheMatrix) {
  const Problem problems[] = {
      self_problem(1, 8, 4),
      self_problem(60, 8, 4),
      self_problem(60, 8, 4, true),
      {.queries = 20, .keys = 90, .dim = 8, .value_dim = 4},
      {.queries = 90, .keys = 20, .dim = 8, .value_dim = 4, .scale = 0.7},
      {.queries = 9, .keys = 50, .dim = 8, .value_dim = 4, .causal = true, .first_query = 41},
      // Blocks of the matrix end within it.
      {.queries = 7, .keys = 1100, .dim = 8, .value_dim = 4},
      {.queries = 8, .keys = 1100, .dim = 8, .value_dim = 4, .causal = true, .first_query = 508},
  };
  for (const Problem& problem : problems) {
    VariantTrial dense("dense", problem, 2, 2.0);
    std::vector<Index> rows(static_cast<std::size_t>(problem.queries));
    std::iota(rows.begin(), rows.end(), 0);
    const Doubles values = attention_singular_values(dense.q.view(), dense.k.view(), problem, rows);
    EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
    EXPECT_EQ(static_cast<Index>(values.size()), std::min(problem.queries, problem.keys));
    const Doubles expected = traces(dense.weights(), problem.queries, problem.keys);
    for (int exponent = 1; exponent <= 6; ++exponent) {
      double sum = 0;
      for (const double value : values) sum += std::pow(value, 2 * exponent);
      EXPECT_NEAR(sum, expected[exponent - 1], 1e-11 * expected[exponent - 1])
          << problem.queries << ' ' << problem.keys << ' ' << exponent;
    }
  }
}

TEST(AttentionFigures, OfManyQueriesAndFewKeys) {
  const Problem problem{.queries = 1100, .keys = 6, .dim = 8, .value_dim = 4};
  VariantTrial dense("dense", problem, 3, 2.0);
  std::vector<Index> rows(1100);
  std::iota(rows.begin(), rows.end(), 0);
  const Doubles values = attention_singular_values(dense.q.view(), dense.k.view(), problem, rows);
  const Doubles weights = dense.weights();
  Doubles transposed(weights.size());
  for (Index i = 0; i < 1100; ++i) {
    for (Index j = 0; j < 6; ++j) transposed[j * 1100 + i] = weights[i * 6 + j];
  }
  const Doubles expected = traces(transposed, 6, 1100);
  for (int exponent = 1; exponent <= 6; ++exponent) {
    double sum = 0;
    for (const double value : values) sum += std::pow(value, 2 * exponent);
    EXPECT_NEAR(sum, expected[exponent - 1], 1e-11 * expected[exponent - 1]);
  }
}

TEST(AttentionFigures, EqualScoresAndSharpOnes) {
  const Problem problem = self_problem(50, 4, 4);
  std::vector<Index> rows(50);
  std::iota(rows.begin(), rows.end(), 0);
  // All weights 1 / 50: rank one.
  VariantTrial::Matrix zeros{std::vector<float>(200), 50, 4, 4};
  Doubles values = attention_singular_values(zeros.view(), zeros.view(), problem, rows);
  EXPECT_NEAR(values[0], 1, 1e-12);
  EXPECT_NEAR(of("effective_rank", values), 1, 1e-5);
  EXPECT_EQ(of("rank_99", values), 1);
  // Keys on a circle, far out, each of them its own query: the unit matrix.
  VariantTrial::Matrix circle{std::vector<float>(200), 50, 4, 4};
  for (Index i = 0; i < 50; ++i) {
    circle(i, 0) = static_cast<float>(1e3 * std::cos(0.12 * static_cast<double>(i)));
    circle(i, 1) = static_cast<float>(1e3 * std::sin(0.12 * static_cast<double>(i)));
  }
  values = attention_singular_values(circle.view(), circle.view(), problem, rows);
  EXPECT_NEAR(of("effective_rank", values), 50, 1e-9);
  EXPECT_EQ(of("rank_90", values), 45);
  EXPECT_EQ(of("rank_99", values), 50);
}

TEST(AttentionFigures, AreTakenOfEveryHeadOverTheRowsOfTheReference) {
  const LayerInput input = make_input(parse_expression("gaussian(std=2)"), {.batch = 2,
                                                                            .heads = 3,
                                                                            .key_heads = 3,
                                                                            .queries = 40,
                                                                            .keys = 40,
                                                                            .dim = 8,
                                                                            .value_dim = 8,
                                                                            .seed = 5});
  const Problem problem = self_problem(40, 8, 8, true);
  for (const Index asked : {12, 40, 1000}) {
    Record record;
    add_attention_figures(input, problem, asked, record);
    EXPECT_EQ(record.attention_rows, std::min<Index>(asked, 40));
    EXPECT_EQ(record.attention_figures.size(), attention_figures().size());
    for (const AttentionFigure& one : attention_figures()) {
      const Doubles& values = record.attention_figures.at(std::string(one.key));
      ASSERT_EQ(values.size(), 6u);
      for (Index index = 0; index < 6; ++index) {
        const auto rows = sampled_rows(asked, 40, index / 3, index % 3);
        const Doubles expected = attention_singular_values(
            input.q_of(index / 3, index % 3), input.k_of(index / 3, index % 3), problem, rows);
        EXPECT_EQ(values[index], one.figure(expected));
      }
    }
  }
}

}  // namespace
}  // namespace subquad
