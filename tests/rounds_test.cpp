#include "report/rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report_records.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_record;

double noise(Generator& random, double sigma) { return std::exp(sigma * random.normal()); }

/// Single calls as a record holds them: in order, or evenly spaced order statistics.
std::vector<double> kept_calls(std::vector<double> calls) {
  std::sort(calls.begin(), calls.end());
  if (calls.size() <= kCallTimes) return calls;
  std::vector<double> kept;
  for (std::size_t i = 0; i < kCallTimes; ++i) {
    kept.push_back(calls[i * (calls.size() - 1) / (kCallTimes - 1)]);
  }
  return kept;
}

struct Plan {
  int rounds = 9;
  int calls = 1;         ///< of each pass
  double sigma = 0.1;    ///< of log-normal noise, of each call and of each pass of the anchor
  bool planted = false;  ///< every third call takes twice as long
};

Record measured(const Plan& plan, Generator& random) {
  std::vector<double> time_ns, anchor_ns;
  std::vector<std::vector<double>> calls;
  int number = static_cast<int>(3 * random.uniform());
  for (int round = 0; round < plan.rounds; ++round) {
    auto& of_round = calls.emplace_back();
    double sum = 0;
    for (int i = 0; i < plan.calls; ++i) {
      const double slow = plan.planted && ++number % 3 == 0 ? 2 : 1;
      of_round.push_back(1e6 * slow * noise(random, plan.sigma));
      sum += of_round.back();
    }
    time_ns.push_back(sum / plan.calls);
    anchor_ns.push_back(3e6 * noise(random, plan.sigma));
  }
  Record record = make_record("r", "restriction", time_ns, anchor_ns);
  for (int round = 0; round < plan.rounds; ++round) {
    record.rounds[round].call_ns = kept_calls(calls[round]);
  }
  return record;
}

int marks(const Plan& plan, int trials, std::uint64_t seed) {
  Generator random(seed);
  int count = 0;
  for (int trial = 0; trial < trials; ++trial) {
    count += !instability(measured(plan, random)).empty();
  }
  return count;
}

TEST(Instability, MarksATwiceAsSlowThirdCallWhateverAPassHolds) {
  for (const int rounds : {6, 9}) {
    for (const int calls : {1, 2, 3, 8, 9, 1000}) {
      const Plan plan = {rounds, calls, 0.03, true};
      EXPECT_EQ(marks(plan, 200, 1), 200) << rounds << " rounds of " << calls;
    }
  }
}

TEST(Instability, DoesNotMarkNoiseAlone) {
  for (const int rounds : {6, 9}) {
    for (const int calls : {1, 2, 8, 100}) {
      const Plan plan = {rounds, calls, 0.1, false};
      // One in a hundred, and five standard errors of that.
      EXPECT_LT(marks(plan, 2000, 2), 20 + 5 * std::sqrt(20)) << rounds << " rounds of " << calls;
    }
  }
}

TEST(Instability, WhatSlowsTheAnchorAsWellIsNoSign) {
  Record record = make_record("r", "restriction", {1, 1, 1, 1, 3, 3}, {7, 7, 7, 7, 21, 21});
  for (Round& round : record.rounds) round.call_ns = {round.time_ns, round.time_ns};
  EXPECT_EQ(instability(record), "");
  for (Round& round : record.rounds) round.anchor_ns = 0;
  EXPECT_THAT(instability(record), HasSubstr("33% of the calls"));
  for (Round& round : record.rounds) round.anchor_ns = round.time_ns;
  record.anchor = true;
  EXPECT_THAT(instability(record), HasSubstr("33% of the calls")) << "it has no yardstick";
}

TEST(Instability, AWideSpeedUpIsOne) {
  // Six rounds: the interval is the range, 2.5 to 10 against a median of 5.
  const Record record = make_record("r", "restriction", {1, 2, 2, 2, 2, 4}, std::vector(6, 10.0));
  EXPECT_EQ(instability(record), "the speed-up is known no better than 2.50 to 10.0");
  EXPECT_EQ(instability(make_anchor({1, 2, 2, 2, 2, 4})), "");
  EXPECT_EQ(instability(make_record("r", "restriction", {}, {})), "");
}

TEST(SideOf, NeedsAnIntervalThatIsCertain) {
  EXPECT_EQ(side_of({1.1, 1.2, 1.3, 1.4, 1.5, 1.6}, 1), Side::above);
  EXPECT_EQ(side_of({0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, 1), Side::below);
  EXPECT_EQ(side_of({0.9, 1.2, 1.3, 1.4, 1.5, 1.6}, 1), Side::open);
  EXPECT_EQ(side_of({1.1, 1.2, 1.3, 1.4, 1.5}, 1), Side::open) << "five reach 93.75 % alone";
  EXPECT_EQ(side_of({}, 1), Side::open);
}

TEST(PairedRatios, AreOfTheSameRoundAndSeedOverTheAnchor) {
  // The second was measured beside an anchor twice as slow: its times count half.
  const Record a = make_record("a", "restriction", {4, 6, 8}, {10, 10, 10});
  Record b = make_record("b", "restriction", {4, 4, 4}, {20, 20, 20});
  EXPECT_THAT(paired_ratios({&a}, {&b}), ElementsAre(2, 3, 4));
  b.rounds.erase(b.rounds.begin());
  EXPECT_THAT(paired_ratios({&a}, {&b}), ElementsAre(3, 4));
  b.seed = 5;
  EXPECT_THAT(paired_ratios({&a}, {&b}), ElementsAre());
  const Record c = make_record("c", "restriction", {2, 2, 2}, {0, 0, 0});
  EXPECT_THAT(paired_ratios({&a}, {&c}), ElementsAre(2, 3, 4)) << "no anchor to divide by";
}

}  // namespace
}  // namespace subquad
