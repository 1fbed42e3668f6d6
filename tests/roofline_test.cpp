#include "measuring/roofline.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "records/peak_probe.h"

namespace subquad {
namespace {

/// 4e6 useful flops of which twice as many are executed, in passes of 100 us: 40 and 80 GFLOP/s.
Record sample(double exponential_flops = 0) {
  Record record;
  record.useful_multiply_adds = 2e6;
  record.useful_exponentials = 1e4;
  record.executed_multiply_adds = 4e6;
  record.useful_bytes = 1e5;
  record.exponential_flops = exponential_flops;
  record.memory_bytes_per_s = 10e9;
  for (const double peak : {160.0, 200.0, 100.0}) {
    record.rounds.push_back({.time_ns = 1e5, .peak_gflops = peak});
  }
  return record;
}

TEST(Roofline, SharesAreTakenWithinRounds) {
  const Record record = sample();
  ASSERT_EQ(rooflines(record).size(), 3u);
  EXPECT_DOUBLE_EQ(rooflines(record)[1].useful_share, 0.2);
  const Roofline median = median_roofline(record);
  EXPECT_DOUBLE_EQ(median.useful_gflops, 40);
  EXPECT_DOUBLE_EQ(median.executed_gflops, 80);
  EXPECT_DOUBLE_EQ(median.intensity, 40);
  EXPECT_DOUBLE_EQ(median.useful_share, 0.25);
  EXPECT_DOUBLE_EQ(median.executed_share, 0.5);
  // 25 us of multiply-adds at 160 GFLOP/s against 10 us of memory.
  EXPECT_DOUBLE_EQ(median.attainable_share, 0.25);
  EXPECT_DOUBLE_EQ(median.attainable_gflops, 160);
}

TEST(Roofline, ExponentialsTakeTimeAndAreNoFlops) {
  const Roofline median = median_roofline(sample(400));
  EXPECT_DOUBLE_EQ(median.useful_gflops, 40);
  EXPECT_DOUBLE_EQ(median.useful_share, 0.25);
  EXPECT_DOUBLE_EQ(median.attainable_share, 0.5);
  EXPECT_DOUBLE_EQ(median.attainable_gflops, 80);
}

TEST(Roofline, MemoryBoundsWhatHasALowIntensity) {
  Record record = sample();
  record.useful_bytes = 5e5;  // 50 us at 10 GB/s
  const Roofline median = median_roofline(record);
  EXPECT_DOUBLE_EQ(median.intensity, 8);
  EXPECT_DOUBLE_EQ(median.attainable_gflops, 80);
  EXPECT_DOUBLE_EQ(median.attainable_share, 0.5);
  record.useful_multiply_adds = 0;
  EXPECT_DOUBLE_EQ(median_roofline(record).useful_share, 0);
  EXPECT_DOUBLE_EQ(median_roofline(record).attainable_share, 0.5);
}

TEST(Roofline, MatrixUnitsHaveAPeakOfTheirOwn) {
  Record record = sample();
  record.executed_bf16_multiply_adds = 3e6;  // three quarters of all
  for (Round& round : record.rounds) round.bf16_peak_gflops = 1000;
  const Roofline round = rooflines(record).front();
  // Of 4e6 useful flops 1e6 at 160 GFLOP/s take 6.25 us, 3e6 at 1000 take 3.
  EXPECT_DOUBLE_EQ(round.useful_share, 0.0925);
  EXPECT_DOUBLE_EQ(round.executed_share, 0.185);
  // Memory, beside which both can go on, takes 10.
  EXPECT_DOUBLE_EQ(round.attainable_share, 0.1);
}

TEST(Roofline, IsNothingWhereNothingWasTimed) {
  Record record = sample();
  record.rounds = {{.time_ns = 1e5}, {.time_ns = 0, .peak_gflops = 100}};
  EXPECT_TRUE(rooflines(record).empty());
  EXPECT_EQ(median_roofline(record).useful_gflops, 0);
}

TEST(PeakProbe, AddsUpWhatThreadsDoTogether) {
  for (const int threads : {1, 3}) {
    PeakProbe probe(Arithmetic::float32, threads);
    EXPECT_EQ(probe.gflops(), 0);
    {
      std::vector<std::jthread> team;
      for (int i = 0; i < threads; ++i) team.emplace_back([&] { probe.take_part(); });
    }
    EXPECT_GT(probe.gflops(), 0);
  }
}

TEST(CommonWindow, EveryThreadWorksInItAndRatesAreSummed) {
  CommonWindow window(2, 0.2);
  std::atomic<int> working = 0;
  std::atomic<bool> together = false;
  const auto take_part = [&] {
    bool first = true;
    window.take_part([&] {
      if (first && ++working == 2) together = true;
      first = false;
      return 1e9;
    });
  };
  {
    const std::jthread other(take_part);
    take_part();
  }
  EXPECT_TRUE(together);
  EXPECT_GT(window.rate(), 0);
}

TEST(CommonWindow, ThreadsThatShareAProcessorDoNoMoreThanOne) {
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const auto rate = [](int threads) {
    return best_rate(threads, 8, 1e-3,
                     [](int) { return multiply_from_registers(Arithmetic::float32); });
  };
  const double alone = rate(1), together = rate(4);
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  // Four times as much if each were held against a time of its own.
  EXPECT_LT(together, 2 * alone);
}

TEST(CommonWindow, NobodyWaitsForEver) {
  CommonWindow window(2, 10e-3);
  int calls = 0;
  window.take_part([&] { return ++calls; });
  EXPECT_GT(calls, 0);
  // Who comes when it has begun is not counted.
  const int before = calls;
  window.take_part([&] { return ++calls; });
  EXPECT_EQ(calls, before);
}

}  // namespace
}  // namespace subquad
