#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/masked_attention.h"

namespace subquad {
namespace {

/// Lays positions out on a grid, row by row, and compares coordinates.
Mask axial_mask(const Problem& problem, Index width, const std::string& axis) {
  const Index length = std::max(problem.keys, problem.position(problem.queries));
  std::vector<std::pair<Index, Index>> place;
  for (Index row = 0; row * width < length; ++row) {
    for (Index column = 0; column < width; ++column) place.emplace_back(row, column);
  }
  return [=](Index query, Index key) {
    const auto& own = place[problem.position(query)];
    return (axis != "column" && own.first == place[key].first) ||
           (axis != "row" && own.second == place[key].second);
  };
}

TEST(Axial, EqualsMaskedAttention) {
  for (const std::string axis : {"row", "column", "both"}) {
    for (const Index width : {1, 2, 7, 16, 130}) {
      expect_pattern("axial(width=" + std::to_string(width) + ",axis=" + axis + ")",
                     [&](const Problem& problem) { return axial_mask(problem, width, axis); });
    }
  }
}

TEST(Axial, WidthIsThatOfTheLeastSquareGridUnlessGiven) {
  const auto pairs = [](const std::string& expression, Index n) {
    VariantTrial trial(expression, self_problem(n, 4, 4));
    return trial.variant->cost(trial.problem).useful.exponentials;
  };
  EXPECT_EQ(pairs("axial", 64), 64 * 15);  // 8 of the row, 8 of the column, the own one twice
  EXPECT_EQ(pairs("axial", 65), pairs("axial(width=9)", 65));
  EXPECT_EQ(pairs("axial", 81), 81 * 17);
}

TEST(Axial, IsExactInOneRow) {
  for (const Problem& problem : pattern_problems()) expect_exact("axial", problem);
}

}  // namespace
}  // namespace subquad
