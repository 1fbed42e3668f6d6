#include <gtest/gtest.h>

#include "support/masked_attention.h"

namespace subquad {
namespace {

std::string expression(Index radius, Index dilation) {
  return "local(radius=" + std::to_string(radius) + ",dilation=" + std::to_string(dilation) + ")";
}

TEST(Local, EqualsMaskedAttention) {
  for (const Index radius : {0, 1, 9, 64, 500}) {
    for (const Index dilation : {1, 2, 7, 90}) {
      expect_pattern(expression(radius, dilation), [=](const Problem& problem) -> Mask {
        return [=](Index query, Index key) {
          for (Index t = -radius; t <= radius; ++t) {
            if (key == problem.position(query) + dilation * t) return true;
          }
          return false;
        };
      });
    }
  }
}

TEST(Local, IsExactWithALongRadius) {
  for (const Problem& problem : pattern_problems()) expect_exact("local", problem);
}

TEST(Local, HidesTheFuture) {
  EXPECT_EQ(rows_that_see_the_future(expression(5, 3), self_problem(150, 8, 8, true)), 0);
}

}  // namespace
}  // namespace subquad
