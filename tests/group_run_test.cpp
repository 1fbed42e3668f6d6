#include "running/group_run.h"

#include <gtest/gtest.h>

namespace subquad {
namespace {

using Batches = std::vector<std::vector<std::size_t>>;

TEST(Batches, StayWithinTheBudgetWhereTheyCan) {
  EXPECT_EQ(cut_into_batches({10, 10, 10, 10}, false, 100), (Batches{{0, 1, 2, 3}}));
  EXPECT_EQ(cut_into_batches({10, 10, 10, 10}, false, 25), (Batches{{0, 1}, {2, 3}}));
  EXPECT_EQ(cut_into_batches({10, 50, 10}, false, 25), (Batches{{0}, {1}, {2}}));
}

TEST(Batches, HoldTheAnchorEach) {
  EXPECT_EQ(cut_into_batches({10, 10, 10, 10}, true, 30), (Batches{{0, 1, 2}, {0, 3}}));
  EXPECT_EQ(cut_into_batches({100, 10, 10}, true, 30), (Batches{{0, 1}, {0, 2}}));
  EXPECT_EQ(cut_into_batches({10}, true, 30), (Batches{{0}}));
}

TEST(Batches, AreNoLargerThanSaid) {
  EXPECT_EQ(cut_into_batches({1, 1, 1, 1, 1}, true, 100, 3), (Batches{{0, 1, 2}, {0, 3, 4}}));
  EXPECT_EQ(cut_into_batches({1, 1, 1}, false, 100, 2), (Batches{{0, 1}, {2}}));
  EXPECT_EQ(cut_into_batches(std::vector<std::uint64_t>(1000, 1), false, 5000).size(),
            (1000 + kMostTogether - 1) / kMostTogether);
}

TEST(Batches, OfNothingAreNone) { EXPECT_TRUE(cut_into_batches({}, false, 30).empty()); }

}  // namespace
}  // namespace subquad
