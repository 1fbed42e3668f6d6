#include <gtest/gtest.h>

#include <set>

#include "support/masked_attention.h"

namespace subquad {
namespace {

/// Number of the block that a position lies in, by walking through the blocks.
Index block_of(Index position, Index block) {
  Index number = 0;
  for (Index end = block; end <= position; end += block) ++number;
  return number;
}

TEST(Blocked, EqualsMaskedAttention) {
  for (const Index block : {1, 7, 16, 64, 500}) {
    for (const Index neighbours : {0, 1, 3}) {
      expect_pattern("blocked(block=" + std::to_string(block) +
                         ",neighbours=" + std::to_string(neighbours) + ")",
                     [=](const Problem& problem) -> Mask {
                       return [=](Index query, Index key) {
                         const Index own = block_of(problem.position(query), block);
                         const Index other = block_of(key, block);
                         return other >= own - neighbours && other <= own + neighbours;
                       };
                     });
    }
  }
}

TEST(Blocked, IsExactInOneBlock) {
  for (const Problem& problem : pattern_problems()) expect_exact("blocked", problem);
}

/// Keys that have weight for a query.
std::set<Index> seen_keys(const std::string& expression, Index n, Index query) {
  VariantTrial trial(expression, self_problem(n, 4, 4));
  const std::vector<double> weights = trial.weights();
  std::set<Index> keys;
  for (Index j = 0; j < n; ++j) {
    if (weights[query * n + j] > 0) keys.insert(j);
  }
  return keys;
}

TEST(Blocked, BlocksAreNeighboursAndNotEqualRemainders) {
  EXPECT_EQ(seen_keys("blocked(block=4)", 12, 5), (std::set<Index>{4, 5, 6, 7}));
}

TEST(Blocked, ThereIsNoFurtherBlockWhereTheLengthDividesEvenly) {
  // A block of padding would take weight from the last one, or let it see more.
  EXPECT_EQ(seen_keys("blocked(block=4)", 12, 11), (std::set<Index>{8, 9, 10, 11}));
  EXPECT_EQ(seen_keys("blocked(block=4)", 13, 12), (std::set<Index>{12}));
  EXPECT_EQ(seen_keys("blocked(block=4,neighbours=1)", 12, 11),
            (std::set<Index>{4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST(Blocked, DoesNoMoreThanItsBlocks) {
  // Whole blocks of 64 keys, and tiles that end where blocks do: nothing is computed in vain.
  const Problem problem = self_problem(1024, 64, 64);
  VariantTrial trial("blocked(block=64,neighbours=1)", problem);
  trial.forward();
  EXPECT_EQ(trial.executed.multiply_adds, trial.variant->cost(problem).useful.multiply_adds);
}

}  // namespace
}  // namespace subquad
