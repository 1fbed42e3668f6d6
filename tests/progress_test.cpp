#include "running/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace subquad {
namespace {

TEST(DurationText, HasTwoUnitsAtMost) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.6), "1 min 0 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(7500), "2 h 5 min");
}

// Under a test's runner standard error is no terminal.
TEST(Progress, SaysInTheEndHowManyPointsThereAre) {
  testing::internal::CaptureStderr();
  const auto progress = make_progress();
  progress->begin(3, 1, 10);
  for (int point = 0; point < 2; ++point) {
    progress->working_on("dense");
    progress->advance(5);
    progress->point_done();
  }
  progress->end();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::StartsWith("3/3 points"));
}

TEST(Progress, SaysNothingOfAnEndThatDidNotCome) {
  testing::internal::CaptureStderr();
  const auto progress = make_progress();
  progress->begin(3, 0, 10);
  progress->point_done();
  progress->end();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace subquad
