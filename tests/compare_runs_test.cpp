#include "comparing/runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report_records.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_record;

constexpr double kEffect = 0.03;
constexpr int kPoints = 24;

/// How times scatter: from run to run, which rounds of one run share, and from round to round.
struct Scatter {
  double run = 0.03, round = 0.005;
};

/// A run of `kPoints` variants; the first one takes `factor` times as long as it should.
StoredRun made_run(Generator& random, const Scatter& scatter, double factor = 1) {
  constexpr int kRounds = 9;
  StoredRun run{.name = "run", .built = "gcc -O3", .records = {}};
  run.records.push_back(make_anchor(std::vector<double>(kRounds, 1e6)));
  for (int i = 0; i < kPoints; ++i) {
    const double luck = scatter.run * random.normal();
    std::vector<double> times;
    for (int round = 0; round < kRounds; ++round) {
      times.push_back(1e5 * (i + 1) * (i == 0 ? factor : 1) *
                      std::exp(luck + scatter.round * random.normal()));
    }
    run.records.push_back(make_record("v" + std::to_string(i), "restriction", times,
                                      std::vector<double>(kRounds, 1e6)));
  }
  return run;
}

std::vector<StoredRun> made_runs(Generator& random, int count, double factor = 1) {
  std::vector<StoredRun> runs;
  for (int i = 0; i < count; ++i) runs.push_back(made_run(random, {}, factor));
  return runs;
}

const PointComparison& point_of(const SideBySide& comparison, const std::string& variant) {
  const auto found =
      std::find_if(comparison.points.begin(), comparison.points.end(),
                   [&](const PointComparison& point) { return point.variant == variant; });
  if (found == comparison.points.end()) throw std::logic_error("no point of " + variant);
  return *found;
}

bool alarms(const SideBySide& comparison) {
  return std::any_of(comparison.points.begin(), comparison.points.end(), [](const auto& point) {
    return point.verdict == TimeVerdict::slower || point.verdict == TimeVerdict::faster;
  });
}

TEST(CompareRuns, RoundsOfOneRunAreNoEvidenceOfTheirOwn) {
  // Rounds scatter six times less than runs: any test of rounds calls nearly all points different.
  Generator random(1);
  int count = 0;
  for (int trial = 0; trial < 200; ++trial) {
    count += alarms(compare_runs(made_runs(random, 1), made_runs(random, 1), kEffect));
  }
  EXPECT_LE(count, 10 + 3 * std::sqrt(10));
}

TEST(CompareRuns, OneRunEachTellsWhatChanceCannot) {
  Generator random(2);
  int slower = 0;
  for (int trial = 0; trial < 50; ++trial) {
    const SideBySide comparison =
        compare_runs(made_runs(random, 1), made_runs(random, 1, 1.5), kEffect);
    slower += point_of(comparison, "v0").verdict == TimeVerdict::slower;
    for (const PointComparison& point : comparison.points) {
      EXPECT_NE(point.verdict, TimeVerdict::same) << "one run each cannot tell";
      EXPECT_FALSE(point.adjusted_p.has_value());
    }
  }
  EXPECT_GE(slower, 48);
}

TEST(CompareRuns, TooFewPointsTellNothing) {
  Generator random(3);
  StoredRun a = made_run(random, {}), b = made_run(random, {}, 3);
  a.records.resize(kLeastPoints);  // the anchor among them
  const SideBySide comparison = compare_runs({a}, {b}, kEffect);
  EXPECT_FALSE(alarms(comparison));
  EXPECT_EQ(point_of(comparison, "v0").verdict, TimeVerdict::unclear);
  EXPECT_THAT(comparison.notices, Contains(HasSubstr("points of B alone")));
}

TEST(CompareRuns, OverlappingRoundsTellNothing) {
  Generator random(4);
  const StoredRun a = made_run(random, {0.001, 0.001});
  StoredRun b = made_run(random, {0.001, 0.001}, 1.5);
  b.records[1].rounds[0].time_ns = a.records[1].rounds[0].time_ns;
  const PointComparison point = point_of(compare_runs({a}, {b}, kEffect), "v0");
  EXPECT_EQ(point.verdict, TimeVerdict::unclear);
  EXPECT_THAT(point.why, HasSubstr("overlap"));
}

TEST(CompareRuns, OfSeveralTheRunIsTheUnit) {
  Generator random(5);
  int slower = 0, false_alarms = 0;
  for (int trial = 0; trial < 100; ++trial) {
    const SideBySide changed =
        compare_runs(made_runs(random, 6), made_runs(random, 6, 1.3), kEffect);
    slower += point_of(changed, "v0").verdict == TimeVerdict::slower;
    false_alarms += alarms(compare_runs(made_runs(random, 6), made_runs(random, 6), kEffect));
  }
  EXPECT_GE(slower, 95);
  EXPECT_LE(false_alarms, 5 + 3 * std::sqrt(5));
}

TEST(CompareRuns, OnlyTheLastRecordOfAPointCounts) {
  Generator random(6);
  StoredRun a = made_run(random, {0, 0.001}), b = made_run(random, {0, 0.001}, 2);
  b.records.push_back(a.records[1]);
  EXPECT_EQ(point_of(compare_runs({a}, {b}, kEffect), "v0").verdict, TimeVerdict::unclear);
}

TEST(CompareRuns, SayWhatIsNotComparable) {
  Generator random(7);
  const StoredRun a = made_run(random, {});
  const auto why = [&](auto&& change) {
    StoredRun b = a;
    change(b);
    const SideBySide comparison = compare_runs({a}, {b}, kEffect);
    EXPECT_EQ(point_of(comparison, "v3").verdict, TimeVerdict::not_timed);
    EXPECT_FALSE(comparison.notices.empty());
    return point_of(comparison, "v3").why;
  };
  const auto of_all = [](auto&& change) {
    return [=](StoredRun& run) { std::for_each(run.records.begin(), run.records.end(), change); };
  };
  EXPECT_EQ(why(of_all([](Record& r) { r.machine = "other"; })), "machines:  and other");
  EXPECT_EQ(why(of_all([](Record& r) { r.pinned_to = "0"; })),
            "threads bound or free: free and bound");
  EXPECT_EQ(why([](StoredRun& run) { run.built = "clang -O2"; }),
            "compilers and flags: gcc -O3 and clang -O2");
  EXPECT_EQ(why([](StoredRun& run) { run.records[0].variant = "naive"; }),
            "anchors: dense and naive");
}

TEST(CompareRuns, PointsOfOtherThreadsAreNoPair) {
  Generator random(8);
  const StoredRun a = made_run(random, {});
  StoredRun b = a;
  for (Record& record : b.records) record.threads = 2;
  const SideBySide comparison = compare_runs({a}, {b}, kEffect);
  EXPECT_TRUE(comparison.points.empty());
  EXPECT_THAT(comparison.notices, Contains(HasSubstr("differ in the number of threads")));
}

TEST(CompareRuns, ErrorsAndMemoryAreComparedWhateverTheMachine) {
  Generator random(9);
  const StoredRun a = made_run(random, {});
  StoredRun b = a;
  for (Record& record : b.records) record.machine = "other";
  b.records[4].error["relative_error"][2] = 0.9;
  b.records[5].scratch_bytes += 1;
  const SideBySide comparison = compare_runs({a}, {b}, kEffect);
  EXPECT_EQ(comparison.regressions(), 2u);
  EXPECT_THAT(point_of(comparison, "v3").changes.at(0).text, HasSubstr("result changed"));
  EXPECT_THAT(point_of(comparison, "v4").changes.at(0).text, HasSubstr("1536 bytes, then 1537"));
}

TEST(ChanceLimit, IsAQuantileOfStudentsTimesTheScale) {
  // A median size of 0.0674490 is a standard deviation of 0.1; of 3.7 degrees of freedom, 1 - 0.05
  // / 20 has the quantile 5.987515 (by numerical integration of the density).
  const std::vector<double> ratios = {0.067449, -0.067449, 0.067449, -0.067449, 0.067449,
                                      0.067449, -0.067449, 0.067449, 0.067449,  0.067449};
  EXPECT_NEAR(*chance_limit(ratios), 0.5987515, 1e-6);
  EXPECT_FALSE(chance_limit(std::vector<double>(kLeastPoints - 1, 0.1)).has_value());
}

}  // namespace
}  // namespace subquad
