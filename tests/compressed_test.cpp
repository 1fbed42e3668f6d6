#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// As for dense attention over the compressed keys, whose scores stay below 10 here.
constexpr double kTolerance = 10 * 16 * kEpsilon;

using Rows = std::vector<std::vector<double>>;

/// Groups of rows as section 4.2.3 has them: zero-padded and convolved, or averaged.
Rows compressed(const VariantTrial::Matrix& rows, Index stride, const ConstView* weights) {
  Rows groups;
  for (Index j = 0; j < rows.rows; ++j) {
    if (j % stride == 0) groups.emplace_back(rows.cols);
    const Index size = std::min(stride, rows.rows - j / stride * stride);
    for (Index c = 0; c < rows.cols; ++c) {
      const double value = rows.values[j * rows.stride + c];
      if (weights == nullptr) groups.back()[c] += value / static_cast<double>(size);
      for (Index to = 0; weights != nullptr && to < rows.cols; ++to) {
        groups.back()[to] += value * (*weights)(j % stride * rows.cols + c, to);
      }
    }
  }
  return groups;
}

/// Softmax of each query over the compressed rows that stand wholly at or before its position.
std::vector<double> by_definition(VariantTrial& trial, Index stride, bool convolved, bool null) {
  const Problem& p = trial.problem;
  ConstView of_keys, of_values;
  if (convolved) {
    of_keys = trial.tensors.matrix("key_weights");
    of_values = trial.tensors.matrix("value_weights");
  }
  Rows keys = compressed(trial.k, stride, convolved ? &of_keys : nullptr);
  Rows values = compressed(trial.v, stride, convolved ? &of_values : nullptr);
  if (null) {
    keys.emplace_back(p.dim);
    values.emplace_back(p.value_dim);
    for (Index c = 0; c < p.dim; ++c) keys.back()[c] = trial.tensors.matrix("null_key")(0, c);
    for (Index c = 0; c < p.value_dim; ++c) {
      values.back()[c] = trial.tensors.matrix("null_value")(0, c);
    }
  }
  std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
  for (Index i = 0; i < p.queries; ++i) {
    double norm = 0;
    for (std::size_t g = 0; g < keys.size(); ++g) {
      const bool is_null = null && g + 1 == keys.size();
      const Index last = static_cast<Index>(g + 1) * stride - 1;
      if (p.causal && !is_null && (last >= p.keys || last > p.position(i))) continue;
      double score = 0;
      for (Index c = 0; c < p.dim; ++c) score += trial.q(i, c) * keys[g][c];
      const double weight = std::exp(p.score_scale() * score);
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * values[g][c];
    }
    for (Index c = 0; c < p.value_dim && norm > 0; ++c) out[i * p.value_dim + c] /= norm;
  }
  return out;
}

void fill(const View& view, std::uint64_t seed) {
  Generator(seed).normals({view.data, static_cast<std::size_t>(view.rows * view.cols)});
}

TEST(Compressed, IsWhatThePaperSays) {
  for (const Problem& problem :
       {self_problem(1, 4, 3), self_problem(2, 4, 3, true), self_problem(31, 8, 5),
        self_problem(31, 8, 5, true), self_problem(700, 16, 16, true), self_problem(700, 5, 33),
        Problem{.queries = 7, .keys = 50, .dim = 4, .value_dim = 6},
        Problem{
            .queries = 9, .keys = 50, .dim = 4, .value_dim = 6, .causal = true, .first_query = 22},
        Problem{.queries = 1,
        .keys = 50,
        .dim = 4,
        .value_dim = 6,
        .causal = true,
        .first_query = 49}}) {
    for (const Index stride : {1, 2, 3, 7, 64}) {
      for (const bool convolved : {false, true}) {
        for (const bool null : {false, true}) {
          const std::string expression = "compressed(stride=" + std::to_string(stride) +
                                         ",kind=" + (convolved ? "conv" : "mean") +
                                         ",null_key=" + (null ? "true" : "false") + ")";
          VariantTrial trial(expression, problem, 3, 1, 2);
          if (null && problem.causal) {
            fill(trial.tensors.writable("null_key"), 5);
            fill(trial.tensors.writable("null_value"), 6);
          }
          const std::vector<double> expected =
              by_definition(trial, stride, convolved, null && problem.causal);
          EXPECT_LT(VariantTrial::difference(trial.forward(), expected), kTolerance) << expression;
          // The same sums in another order, in double.
          EXPECT_LT(VariantTrial::difference(trial.reference(), expected), 1e-12) << expression;
        }
      }
    }
  }
}

TEST(Compressed, EarlyQueriesSeeTheNullKeyOrNothing) {
  VariantTrial with("compressed(stride=4)", self_problem(9, 8, 5, true));
  fill(with.tensors.writable("null_value"), 2);
  VariantTrial without("compressed(stride=4,null_key=false)", self_problem(9, 8, 5, true));
  const std::vector<float> first = with.forward(), second = without.forward();
  for (Index i = 0; i < 3; ++i) {
    for (Index c = 0; c < 5; ++c) {
      EXPECT_EQ(first[i * 5 + c], with.tensors.matrix("null_value")(0, c));
      EXPECT_EQ(second[i * 5 + c], 0);
    }
  }
  EXPECT_NE(second[3 * 5], 0);
}

TEST(Compressed, WhatATokenIsCompressedIntoDoesNotDependOnTheLength) {
  for (const char* kind : {"conv", "mean"}) {
    const std::string expression = std::string("compressed(kind=") + kind + ")";
    VariantTrial whole(expression, self_problem(50, 8, 8, true));
    VariantTrial start(expression, self_problem(31, 8, 8, true));
    for (Index i = 0; i < 31; ++i) {
      for (Index c = 0; c < 8; ++c) {
        start.q(i, c) = whole.q(i, c);
        start.k(i, c) = whole.k(i, c);
        start.v(i, c) = whole.v(i, c);
      }
    }
    std::vector<float> rows = whole.forward();
    rows.resize(31 * 8);
    EXPECT_LT(VariantTrial::difference(start.forward(), rows), kTolerance);
  }
}

TEST(Compressed, ReadsNoLaterToken) {
  for (const char* expression : {"compressed", "compressed(kind=mean)",
                                 "compressed(stride=2,null_key=false)", "compressed(stride=1)"}) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(61, 8, 5, true)), 0) << expression;
    EXPECT_EQ(rows_that_see_the_future(expression, {.queries = 20,
                                                    .keys = 61,
                                                    .dim = 4,
                                                    .value_dim = 4,
                                                    .causal = true,
                                                    .first_query = 30}),
              0)
        << expression;
  }
}

TEST(Compressed, IsDenseAttentionAtItsExactSetting) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(131, 8, 5, causal);
    const std::string setting =
        make_variant(parse_expression("compressed"), problem)->exact_when(problem);
    VariantTrial trial("compressed(" + setting + ")", problem, 4);
    VariantTrial dense("dense", problem, 4);
    EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
  }
}

TEST(Compressed, ConvolutionKeepsTheSizeOfKeys) {
  VariantTrial trial("compressed(stride=4)", self_problem(64, 32, 48));
  for (const auto& [name, width] : {std::pair{"key_weights", 32}, {"value_weights", 48}}) {
    const ConstView weights = trial.tensors.matrix(name);
    ASSERT_EQ(weights.rows, 4 * width);
    ASSERT_EQ(weights.cols, width);
    double squares = 0;
    for (Index i = 0; i < weights.rows * weights.cols; ++i) {
      squares += double{weights.data[i]} * weights.data[i];
    }
    // A column of 4 x width weights has length 1 in the mean; five standard errors over all.
    EXPECT_NEAR(squares / width, 1, 5 * std::sqrt(2.0 / (4 * width * width)));
  }
}

TEST(Compressed, CostCountsTheGroupsThatAreSeen) {
  const auto cost = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->cost(problem).useful;
  };
  // Groups end at 2, 5, 8; queries 0 ... 9 see 0 0 1 1 1 2 2 2 3 3 of them, and the null key.
  EXPECT_EQ(cost("compressed(kind=mean,null_key=false)", self_problem(10, 4, 6, true)).exponentials,
            15);
  EXPECT_EQ(cost("compressed(kind=mean)", self_problem(10, 4, 6, true)).multiply_adds, 25 * 10);
  EXPECT_EQ(cost("compressed", self_problem(10, 4, 6, true)).multiply_adds,
            25 * 10 + 9 * (16 + 36));
  EXPECT_EQ(cost("compressed", self_problem(10, 4, 6)).multiply_adds, 40 * 10 + 10 * (16 + 36));
}

TEST(Compressed, AStreamTakesPromptsAndManyQueriesOfAToken) {
  constexpr Index kPrompt = 11, kTokens = 23, kHeads = 3;
  for (const char* expression :
       {"compressed", "compressed(kind=mean)", "compressed(stride=5,null_key=false)"}) {
    // Query i of head h is row i of a problem of its own, on the same keys.
    std::vector<VariantTrial> heads;
    std::vector<std::vector<float>> expected;
    for (Index h = 0; h < kHeads; ++h) {
      heads.emplace_back(expression, self_problem(kTokens, 8, 5, true));
      for (Index i = 0; i < kTokens; ++i) heads[h].q(i, 0) += static_cast<float>(h);
      expected.push_back(heads[h].forward());
    }
    const VariantTrial& first = heads.front();
    const auto stream = first.variant->stream(first.problem, first.tensors);
    std::size_t bytes = 0;
    for (Index i = 0; i < kTokens; ++i) {
      std::vector<float> queries, out(kHeads * 5);
      for (VariantTrial& head : heads) {
        const float* const row = head.q.view().row(i);
        queries.insert(queries.end(), row, row + 8);
      }
      const Index count = i < kPrompt ? 0 : kHeads;
      stream->step({.queries = {queries.data(), count, 8},
                    .key = first.k.view().row(i),
                    .value = first.v.view().row(i),
                    .x = {},
                    .out = {out.data(), count, 5}});
      EXPECT_GE(stream->state_bytes(), bytes);
      bytes = stream->state_bytes();
      for (Index at = 0; at < count * 5; ++at) {
        EXPECT_NEAR(out[at], expected[at / 5][i * 5 + at % 5], kTolerance) << expression;
      }
    }
    // Rows that were compressed, not tokens: 8 keys at the most, and a group under way.
    EXPECT_LE(bytes, 8 * 13 * sizeof(float) + 13 * sizeof(double));
  }
}

TEST(Compressed, SurvivesExtremeScores) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("compressed", self_problem(61, 8, 8, causal), 3, 100);
    for (const float value : trial.forward()) EXPECT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace subquad
