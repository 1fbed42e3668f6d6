#include <gtest/gtest.h>

#include <cmath>

#include "support/masked_attention.h"

namespace subquad {
namespace {

/// Walks from the query's position in steps of the stride, and key by key through the window.
Mask strided_mask(const Problem& problem, Index stride, Index window) {
  return [=](Index query, Index key) {
    const Index position = problem.position(query);
    for (Index at = position; at >= 0; at -= stride) {
      if (at == key) return true;
    }
    for (Index at = position; at < problem.keys; at += stride) {
      if (at == key) return true;
    }
    for (Index t = 0; t < window; ++t) {
      if (key == position - t || key == position + t) return true;
    }
    return false;
  };
}

std::string expression(Index stride, Index window) {
  return "strided(stride=" + std::to_string(stride) + ",window=" + std::to_string(window) + ")";
}

TEST(Strided, EqualsMaskedAttention) {
  for (const Index stride : {1, 2, 7, 20, 64, 1000}) {
    for (const Index window : {0, 1, 5, 64, 300}) {
      expect_pattern(expression(stride, window),
                     [=](const Problem& problem) { return strided_mask(problem, stride, window); });
    }
  }
}

TEST(Strided, IsExactAtStrideOne) {
  for (const Problem& problem : pattern_problems()) expect_exact("strided", problem);
}

TEST(Strided, CausalWindowIsTheLastPositions) {
  // The paper's l last positions, the own one among them: 3 keys here, and every tenth one before.
  VariantTrial trial(expression(10, 3), self_problem(40, 4, 4, true));
  const std::vector<double> weights = trial.weights();
  std::vector<Index> seen;
  for (Index j = 0; j < 40; ++j) {
    if (weights[35 * 40 + j] > 0) seen.push_back(j);
  }
  EXPECT_EQ(seen, (std::vector<Index>{5, 15, 25, 33, 34, 35}));
}

TEST(Strided, WorkGrowsAsLengthToTheThreeHalvesAtStrideOfItsRoot) {
  const auto pairs = [](Index n) {
    const Index root = std::lround(std::sqrt(static_cast<double>(n)));
    VariantTrial trial(expression(root, root), self_problem(n, 4, 4, true));
    return trial.variant->cost(trial.problem).useful.exponentials;
  };
  EXPECT_NEAR(std::log2(pairs(16384) / pairs(4096)) / 2, 1.5, 0.02);
}

TEST(Strided, HidesTheFuture) {
  EXPECT_EQ(rows_that_see_the_future(expression(7, 5), self_problem(150, 8, 8, true)), 0);
}

}  // namespace
}  // namespace subquad
