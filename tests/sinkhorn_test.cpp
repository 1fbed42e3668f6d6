#include <gtest/gtest.h>

#include <algorithm>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores and logits stay below 6, and up to 8 balancings add an error of the logits' each.
constexpr double kTolerance = 2 * 6 * 32 * kEpsilon;

using Rows = std::vector<std::vector<double>>;

struct Setting {
  Index block;
  int iterations = 8;
  double temperature = 0.75;
  Index sortcut = 0;
  bool linear = false;

  std::string expression() const {
    return "sinkhorn(block=" + std::to_string(block) + ",iterations=" + std::to_string(iterations) +
           ",temperature=" + std::to_string(temperature) + ",sortcut=" + std::to_string(sortcut) +
           ",network=" + (linear ? "linear" : "bilinear") + ")";
  }
};

/// Means of rows [begin, end).
std::vector<double> mean(VariantTrial::Matrix& rows, Index begin, Index end) {
  std::vector<double> sum(static_cast<std::size_t>(rows.cols));
  for (Index i = begin; i < end; ++i) {
    for (Index c = 0; c < rows.cols; ++c) sum[c] += rows(i, c) / static_cast<double>(end - begin);
  }
  return sum;
}

/// The sorting matrix, by divisions in the place of logarithms.
Rows sorting(VariantTrial& trial, const Setting& setting) {
  const Problem& p = trial.problem;
  const Index count = p.keys / setting.block;
  Rows r(count, std::vector<double>(count));
  for (Index i = 0; i < count; ++i) {
    const Index begin = i * setting.block;
    const std::vector<double> x =
        p.causal ? mean(trial.q, 0, begin + 1) : mean(trial.q, begin, begin + setting.block);
    for (Index j = 0; j < (p.causal ? i : count); ++j) {
      const std::vector<double> y = mean(trial.k, j * setting.block, (j + 1) * setting.block);
      double dot = 0;
      for (Index c = 0; c < p.dim; ++c) {
        dot += x[c] * (setting.linear ? trial.tensors.matrix("w")(c, j)
                                      : y[c] / std::sqrt(static_cast<double>(p.dim)));
      }
      r[i][j] = std::exp(dot / setting.temperature);
    }
  }
  const auto divide_rows = [&] {
    for (std::vector<double>& row : r) {
      double sum = 0;
      for (const double value : row) sum += value;
      for (double& value : row) value /= sum > 0 ? sum : 1;
    }
  };
  for (int iteration = 0; iteration < setting.iterations; ++iteration) {
    divide_rows();
    for (Index j = 0; j < count; ++j) {
      double whole = 0, so_far = 0;
      for (Index i = 0; i < count; ++i) whole += r[i][j];
      for (Index i = 0; i < count; ++i) {
        so_far += r[i][j];
        const double sum = p.causal ? so_far : whole;
        if (sum > 0) r[i][j] /= sum;
      }
    }
  }
  if (p.causal) divide_rows();
  return r;
}

/// Sorted keys and values as matrices, and one softmax over them beside the own block.
std::vector<double> definition(VariantTrial& trial, const Setting& setting) {
  const Problem& p = trial.problem;
  const Index size = setting.block, count = p.keys / size;
  const Rows r = sorting(trial, setting);
  const auto sorted = [&](VariantTrial::Matrix& rows) {
    Rows result;
    for (Index i = 0; i < p.keys; ++i) {
      result.emplace_back(static_cast<std::size_t>(rows.cols));
      for (Index j = 0; j < count; ++j) {
        for (Index c = 0; c < rows.cols; ++c) {
          result[i][c] += r[i / size][j] * rows(j * size + i % size, c);
        }
      }
    }
    return result;
  };
  const Rows keys = sorted(trial.k), values = sorted(trial.v);
  std::vector<double> out;
  for (Index i = 0; i < p.queries; ++i) {
    std::vector<double> sum(static_cast<std::size_t>(p.value_dim));
    double norm = 0;
    const auto add = [&](auto key, auto value) {
      double dot = 0;
      for (Index c = 0; c < p.dim; ++c) dot += trial.q(i, c) * key(c);
      const double weight = std::exp(dot / std::sqrt(static_cast<double>(p.dim)));
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) sum[c] += weight * value(c);
    };
    const Index begin = setting.sortcut > 0 ? 0 : i / size * size;
    const Index end = setting.sortcut > 0 ? std::min(setting.sortcut * size, p.keys) : begin + size;
    for (Index j = begin; j < end; ++j) {
      if (p.causal && begin == 0) break;
      add([&](Index c) { return keys[j][c]; }, [&](Index c) { return values[j][c]; });
    }
    for (Index j = begin; j < end && setting.sortcut == 0; ++j) {
      if (p.causal && j > i) break;
      add([&](Index c) { return trial.k(j, c); }, [&](Index c) { return trial.v(j, c); });
    }
    for (const double value : sum) out.push_back(value / norm);
  }
  return out;
}

TEST(Sinkhorn, EqualsItsDefinition) {
  const Setting settings[] = {
      {.block = 10},
      {.block = 6, .iterations = 1},
      {.block = 4, .iterations = 3, .temperature = 0.25},
      {.block = 12, .linear = true},
      {.block = 1, .iterations = 2, .linear = true},
      {.block = 10, .sortcut = 1},
      {.block = 6, .sortcut = 3, .linear = true},
      {.block = 30, .sortcut = 100},
  };
  for (const bool causal : {false, true}) {
    for (const Setting& setting : settings) {
      if (causal && setting.sortcut > 0) continue;
      VariantTrial trial(setting.expression(), self_problem(120, 8, 5, causal));
      EXPECT_LT(VariantTrial::difference(trial.forward(), definition(trial, setting)), kTolerance)
          << setting.expression() << " causal=" << causal;
    }
  }
}

TEST(Sinkhorn, ManyBlocksAreMixedInSeveralTiles) {
  for (const bool causal : {false, true}) {
    const Setting setting{.block = 2, .iterations = 4};
    VariantTrial trial(setting.expression(), self_problem(300, 8, 5, causal));
    EXPECT_LT(VariantTrial::difference(trial.forward(), definition(trial, setting)), kTolerance);
  }
}

TEST(Sinkhorn, SortedValuesAreMixedFromValues) {
  // Values of one: whatever is mixed, with sums of one, gives one. Mixed keys would not.
  VariantTrial trial("sinkhorn(block=8,iterations=60)", self_problem(64, 8, 8));
  std::fill(trial.v.values.begin(), trial.v.values.end(), 1.0f);
  for (const float value : trial.forward()) EXPECT_NEAR(value, 1, 1e-3);
}

TEST(Sinkhorn, SmallTemperaturesPermuteBlocks) {
  // Queries of block i look for the keys of block 3 - i.
  VariantTrial trial("sinkhorn(block=4,iterations=30,temperature=0.05)", self_problem(16, 4, 1));
  for (Index i = 0; i < 16; ++i) {
    for (Index c = 0; c < 4; ++c) {
      trial.q(i, c) = i / 4 == c ? 3 : 0;
      trial.k(i, c) = 3 - i / 4 == c ? 1 : 0;
    }
    trial.v(i, 0) = static_cast<float>(i / 4);
  }
  trial.forward();
  const std::vector<double> weights = trial.weights();
  for (Index i = 0; i < 16; ++i) {
    double own = 0, sought = 0;
    for (Index t = 0; t < 4; ++t) {
      own += weights[i * 16 + i / 4 * 4 + t];
      sought += weights[i * 16 + (3 - i / 4) * 4 + t];
    }
    EXPECT_NEAR(own + sought, 1, 1e-6);
    EXPECT_GT(sought, 0.8);
  }
}

TEST(Sinkhorn, OneBlockIsDense) {
  for (const bool causal : {false, true}) {
    for (const char* network : {"bilinear", "linear"}) {
      const Problem problem = self_problem(61, 8, 5, causal);
      VariantTrial trial(std::string("sinkhorn(block=61,network=") + network + ")", problem);
      VariantTrial dense("dense", problem);
      EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
    }
  }
}

TEST(Sinkhorn, LaterTokensDoNotReachEarlierQueries) {
  for (const char* expression : {"sinkhorn(block=8)", "sinkhorn(block=8,network=linear)"}) {
    const Problem problem = self_problem(64, 8, 5, true);
    EXPECT_EQ(rows_that_see_the_future(expression, problem), 0) << expression;
    // Nor do queries, which the pooled features are made of.
    VariantTrial clean(expression, problem), changed(expression, problem);
    const std::vector<float> expected = clean.forward();
    for (Index i = 20; i < 64; ++i) {
      for (Index c = 0; c < 8; ++c) changed.q(i, c) += 1;
    }
    const std::vector<float> out = changed.forward();
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + 20 * 5, expected.begin()));
    EXPECT_NE(out, expected);
  }
}

TEST(Sinkhorn, RefusesWhatItCannotCut) {
  const auto reason = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  EXPECT_EQ(reason("sinkhorn(block=8)", self_problem(60, 4, 4)),
            "the length, 60, is no multiple of the block, 8");
  EXPECT_NE(reason("sinkhorn(block=8,sortcut=1)", self_problem(64, 4, 4, true)), "");
  EXPECT_NE(reason("sinkhorn", {.queries = 64, .keys = 128, .dim = 4, .value_dim = 4}), "");
  EXPECT_EQ(reason("sinkhorn", self_problem(60, 4, 4)), "");
}

}  // namespace
}  // namespace subquad
