#include "measuring/timing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
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

TEST(Timer, TimesCallsByThemselves) {
  const TimedPass few = Timer([] {}, 5).pass();
  EXPECT_EQ(few.call_ns.size(), 5u);
  EXPECT_TRUE(std::is_sorted(few.call_ns.begin(), few.call_ns.end()));
  EXPECT_GT(few.cpu_ns, 0);
  const TimedPass many = Timer([] {}, 20000, 8).pass();
  EXPECT_EQ(many.call_ns.size(), 8u);
  EXPECT_TRUE(std::is_sorted(many.call_ns.begin(), many.call_ns.end()));
}

// One call of three waits: three of the nine order statistics must be of it, whether every call is
// timed or only some.
TEST(Timer, SeesCallsThatAreSlowNowAndThen) {
  for (const std::int64_t iterations : {9, 30000}) {
    int calls = 0;
    const auto work = [&] {
      const auto until =
          std::chrono::steady_clock::now() + std::chrono::microseconds(++calls % 3 == 0 ? 50 : 0);
      while (std::chrono::steady_clock::now() < until) {
      }
    };
    const TimedPass pass = Timer(work, iterations, 9).pass();
    ASSERT_EQ(pass.call_ns.size(), 9u);
    EXPECT_GE(pass.call_ns[6], 50e3) << iterations;
  }
}

TEST(Timer, WhatIsDoneBeforeEachCallIsNotTimed) {
  int before = 0, calls = 0;
  constexpr auto kLong = std::chrono::milliseconds(20);
  Timer timer([&] { EXPECT_EQ(++calls, before); }, 3, 8,
              [&] {
                ++before;
                const auto until = std::chrono::steady_clock::now() + kLong;
                while (std::chrono::steady_clock::now() < until) {
                }
              });
  const TimedPass pass = timer.pass();
  EXPECT_EQ(pass.iterations, 3);
  EXPECT_EQ(calls, 3);
  ASSERT_EQ(pass.call_ns.size(), 3u);
  EXPECT_LT(pass.call_ns.front(), 20e6);
  EXPECT_LT(pass.cpu_ns, 20e6);
  // The engine's mean is that of the single calls.
  EXPECT_NEAR(pass.time_ns, (pass.call_ns[0] + pass.call_ns[1] + pass.call_ns[2]) / 3,
              1e-5 * pass.time_ns + 1);
  timer.pass();
  EXPECT_EQ(before, 6);
}

TEST(Timer, LetsExceptionsThroughAndCanGoOn) {
  for (const std::function<void()>& before : {std::function<void()>(), {[] {}}}) {
    bool bad = true;
    Timer timer(
        [&] {
          if (bad) throw std::runtime_error("no");
        },
        2, 8, before);
    EXPECT_THROW(timer.pass(), std::runtime_error);
    bad = false;
    EXPECT_EQ(timer.pass().iterations, 2);
  }
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
