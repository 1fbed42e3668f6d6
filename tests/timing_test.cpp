#include "measuring/timing.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace subquad {
namespace {

TEST(Timer, MakesTheSameNumberOfCallsInEveryPass) {
  int calls = 0;
  Timer timer([&] { ++calls; }, 7);
  for (int pass = 1; pass <= 3; ++pass) {
    const TimedPass timed = timer.pass();
    EXPECT_EQ(timed.iterations, 7);
    EXPECT_EQ(calls, 7 * pass);
    EXPECT_GT(timed.time_ns, 0);
  }
}

TEST(Timer, LetsExceptionsThroughAndCanGoOn) {
  bool bad = true;
  Timer timer(
      [&] {
        if (bad) throw std::runtime_error("no");
      },
      2);
  EXPECT_THROW(timer.pass(), std::runtime_error);
  bad = false;
  EXPECT_EQ(timer.pass().iterations, 2);
}

TEST(Timer, OneAfterTheOther) {
  int first = 0, second = 0;
  {
    Timer({[&] { ++first; }}, 3).pass();
  }
  {
    Timer({[&] { ++second; }}, 5).pass();
  }
  EXPECT_EQ(first, 3);
  EXPECT_EQ(second, 5);
}

}  // namespace
}  // namespace subquad
