#include <gtest/gtest.h>

#include <vector>

#include "support/masked_attention.h"

namespace subquad {
namespace {

/// Which keys are summaries, and of which block each position is, by walking through the sequence.
Mask fixed_mask(const Problem& problem, Index block, Index summary) {
  const Index length = std::max(problem.keys, problem.position(problem.queries));
  std::vector<Index> number;
  std::vector<bool> summarises;
  for (Index begin = 0, count = 0; begin < length; begin += block, ++count) {
    for (Index place = 0; place < block; ++place) {
      number.push_back(count);
      summarises.push_back(block - place <= summary);
    }
  }
  return [=](Index query, Index key) {
    return number[problem.position(query)] == number[key] || summarises[key];
  };
}

std::string expression(Index block, Index summary) {
  return "fixed(block=" + std::to_string(block) + ",summary=" + std::to_string(summary) + ")";
}

TEST(Fixed, EqualsMaskedAttention) {
  for (const Index block : {1, 7, 16, 64, 500}) {
    for (const Index summary : {0, 1, 3, 16, 64}) {
      expect_pattern(expression(block, summary),
                     [=](const Problem& problem) { return fixed_mask(problem, block, summary); });
    }
  }
}

TEST(Fixed, IsExactInOneBlock) {
  for (const Problem& problem : pattern_problems()) expect_exact("fixed", problem);
}

TEST(Fixed, SummariesAreTheLastColumnsOnly) {
  // Neither the first column of a block nor the future, which another code adds and hides.
  VariantTrial trial(expression(4, 1), self_problem(12, 4, 4));
  const std::vector<double> weights = trial.weights();
  std::vector<Index> seen;
  for (Index j = 0; j < 12; ++j) {
    if (weights[5 * 12 + j] > 0) seen.push_back(j);
  }
  EXPECT_EQ(seen, (std::vector<Index>{3, 4, 5, 6, 7, 11}));
}

TEST(Fixed, HidesTheFuture) {
  EXPECT_EQ(rows_that_see_the_future(expression(16, 3), self_problem(150, 8, 8, true)), 0);
}

}  // namespace
}  // namespace subquad
