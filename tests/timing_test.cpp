#include "measuring/timing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

namespace subquad {
namespace {

/// What `calls_in_a_pass` says of calls that take so long, and how many it made beside the first.
std::pair<std::int64_t, std::size_t> calls_of(double min_time_s, std::vector<double> call_s) {
  std::size_t made = 0;
  const std::int64_t calls =
      calls_in_a_pass(min_time_s, call_s.at(0), [&] { return call_s.at(++made); });
  return {calls, made};
}

// In powers of two, so that quotients are exact.
constexpr double kCall = 0x1p-20, kPass = 0x1p-10;

TEST(CallsInAPass, AreCountedByTheFastestOfAFew) {
  using Found = std::pair<std::int64_t, std::size_t>;
  EXPECT_EQ(calls_of(kPass, {8 * kCall, 2 * kCall, kCall, 4 * kCall}), Found(1024, 3));
  // Held up in the first, in the first three.
  EXPECT_EQ(calls_of(kPass, {0.02, kCall, kCall, kCall}), Found(1024, 3));
  EXPECT_EQ(calls_of(kPass, {0.02, 0.01, 0.03, kCall}), Found(1024, 3));
  EXPECT_EQ(calls_of(0.05, {0.04, 0.03, 0.03, 0.03}), Found(2, 3));
}

TEST(CallsInAPass, LongCallsAreNotMadeAgain) {
  using Found = std::pair<std::int64_t, std::size_t>;
  EXPECT_EQ(calls_of(kPass, {0.06}), Found(1, 0));
  EXPECT_EQ(calls_of(2, {3}), Found(1, 0));
  EXPECT_EQ(calls_of(2, {1.5, 1, 1, 1}), Found(2, 3));
}

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
