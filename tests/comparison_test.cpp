#include "comparing/comparison.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "comparing/builds.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kEffect = 0.03;

/// A machine on which others work: what a pass takes wanders from one to the next, every eighth is
/// hit by something, and each process has a luck of its own.
class LoudMachine {
 public:
  explicit LoudMachine(std::uint64_t seed, double luck = 0.01) : random_(seed), luck_(luck) {}

  double luck() { return luck_ * random_.normal(); }
  /// Logarithm of the time of one pass.
  double pass() {
    state_ = 0.95 * state_ + 0.02 * random_.normal();
    const double hit = random_.uniform() < 0.125 ? 0.3 * std::abs(random_.normal()) : 0;
    return state_ + 0.02 * random_.normal() + hit;
  }
  bool coin() { return random_.below(2) == 1; }

 private:
  Generator random_;
  double luck_;
  double state_ = 0;
};

/// log(B / A) of one round: processes of both, which take turns, and the faster pass of each.
double round_of(LoudMachine& machine, double effect) {
  const std::array<double, 2> process = {machine.luck(), machine.luck() + effect};
  std::array<double, 2> best = {1e9, 1e9};
  const std::size_t first = machine.coin() ? 1 : 0;
  for (const std::size_t side : {first, 1 - first, 1 - first, first}) {
    best[side] = std::min(best[side], process[side] + machine.pass());
  }
  return best[1] - best[0];
}

/// As many points of no effect, and before them one of `effect`: judged after `rounds` rounds, and
/// what is not settled after twice as many, and so on, up to `most_looks` times.
SideBySide compared(LoudMachine& machine, double effect, std::size_t points, int rounds,
                    int most_looks = kMostLooks) {
  std::vector<std::vector<double>> differences(points + 1);
  SideBySide comparison{.names = {"a", "b"}, .smallest_effect = kEffect};
  comparison.points.resize(points + 1);
  while (comparison.looks < most_looks) {
    // Twice as many in all at each look.
    const int more = comparison.looks == 0 ? rounds : rounds << (comparison.looks - 1);
    for (int round = 0; round < more; ++round) {
      for (std::size_t i = 0; i <= points; ++i) {
        if (comparison.points[i].settled) continue;
        differences[i].push_back(round_of(machine, i == 0 ? effect : 0));
      }
    }
    for (std::size_t i = 0; i <= points; ++i) {
      comparison.points[i].test = trimmed_test(differences[i]);
    }
    judge_tests(comparison, most_looks);
  }
  return comparison;
}

bool called_different(const PointComparison& point) {
  return point.verdict == TimeVerdict::slower || point.verdict == TimeVerdict::faster;
}

TEST(JudgedTests, AFalseAlarmIsRarerThanOneInTwenty) {
  constexpr int kPoints = 70;
  struct Setting {
    int rounds, most_looks;
    double luck;
  };
  for (const auto& [rounds, most_looks, luck] :
       {Setting{10, 1, 0.01}, Setting{12, 1, 0.01}, Setting{10, kMostLooks, 0.01},
        Setting{12, kMostLooks, 0.01}, Setting{12, kMostLooks, 0.05}}) {
    const int trials = most_looks == 1 ? 1000 : 300;
    LoudMachine machine(static_cast<std::uint64_t>(rounds), luck);
    int alarms = 0, certain = 0;
    for (int trial = 0; trial < trials; ++trial) {
      const SideBySide comparison = compared(machine, 0, kPoints, rounds, most_looks);
      alarms += std::any_of(comparison.points.begin(), comparison.points.end(), called_different);
      certain += std::any_of(comparison.points.begin(), comparison.points.end(),
                             [](const auto& p) { return *p.adjusted_p < kFamilyError; });
    }
    const std::string setting =
        fmt::format("{} rounds, {} looks, luck {}: {} alarms, {} certain of {}", rounds, most_looks,
                    luck, alarms, certain, trials);
    EXPECT_LE(alarms, trials / 20) << setting;
    // Of the test alone, whatever the size of the difference: 5 % and three standard errors.
    EXPECT_LE(certain, trials * 0.05 + 3 * std::sqrt(trials * 0.05 * 0.95)) << setting;
  }
}

TEST(JudgedTests, TenPercentIsFoundAmongSeventyPoints) {
  for (const double luck : {0.01, 0.1}) {
    LoudMachine machine(3, luck);
    int slower = 0, faster = 0;
    for (int trial = 0; trial < 100; ++trial) {
      slower += compared(machine, std::log(1.1), 70, 12).points[0].verdict == TimeVerdict::slower;
      faster += compared(machine, -std::log(1.1), 70, 12).points[0].verdict == TimeVerdict::faster;
    }
    EXPECT_GE(slower, 95) << luck;
    EXPECT_GE(faster, 95) << luck;
  }
}

TEST(JudgedTests, WhatIsSettledGetsNoMoreRounds) {
  const double log10 = std::log(1.1), log2 = std::log(1.02);
  SideBySide comparison{.names = {"a", "b"}, .smallest_effect = kEffect};
  comparison.points.resize(4);
  comparison.points[0].test = {log10, log10 - 0.01, log10 + 0.01, 1e-6};
  comparison.points[1].test = {0, -log2, log2, 0.5};
  comparison.points[2].test = {log10, log10 - 0.1, log10 + 0.1, 0.02};
  judge_tests(comparison, 4);
  EXPECT_TRUE(comparison.points[0].settled);
  EXPECT_EQ(comparison.points[0].verdict, TimeVerdict::slower);
  // Three tests, four looks.
  EXPECT_EQ(*comparison.points[0].adjusted_p, 1e-6 * 3 * 4);
  EXPECT_TRUE(comparison.points[1].settled);
  EXPECT_EQ(comparison.points[1].verdict, TimeVerdict::same);
  EXPECT_FALSE(comparison.points[2].settled);
  EXPECT_FALSE(comparison.points[3].settled) << "has no test";
  // Later, settled ones count but are not judged again.
  comparison.points[0].test->p = 1;
  comparison.points[1].test->p = 1e-9;
  comparison.points[2].test->p = 1e-3;
  judge_tests(comparison, 4);
  EXPECT_EQ(comparison.points[0].verdict, TimeVerdict::slower);
  EXPECT_EQ(comparison.points[1].verdict, TimeVerdict::same);
  EXPECT_EQ(*comparison.points[2].adjusted_p, 1e-3 * 3 * 4);
  EXPECT_EQ(comparison.points[2].verdict, TimeVerdict::slower);
  EXPECT_EQ(comparison.looks, 2);
}

TEST(JudgedTests, WhatIsTooSmallToMatterIsNoRegression) {
  LoudMachine machine(4);
  int slower = 0;
  for (int trial = 0; trial < 200; ++trial) {
    slower += compared(machine, std::log(1.01), 10, 12).points[0].verdict == TimeVerdict::slower;
  }
  EXPECT_LE(slower, 10);
}

TEST(Judged, NeedsCertaintyAndSize) {
  const double log5 = std::log(1.05), log2 = std::log(1.02);
  EXPECT_EQ(judged({log5, log5 - 0.01, log5 + 0.01}, 0.01, kEffect), TimeVerdict::slower);
  EXPECT_EQ(judged({-log5, -log5 - 0.01, -log5 + 0.01}, 0.01, kEffect), TimeVerdict::faster);
  EXPECT_EQ(judged({log5, log5 - 0.1, log5 + 0.1}, 0.2, kEffect), TimeVerdict::unclear);
  EXPECT_EQ(judged({log2, log2 - 0.005, log2 + 0.005}, 0.01, kEffect), TimeVerdict::same);
  EXPECT_EQ(judged({log2, log2 - 0.015, log2 + 0.015}, 0.01, kEffect), TimeVerdict::unclear);
}

PointFigures figures(const std::string& target, std::vector<double> error) {
  PointFigures made;
  made.schema = kRecordSchema;
  made.status = Status::ok;
  made.target = target;
  made.error = std::move(error);
  made.reference_rows = 64;
  made.arithmetic_tolerance = 1e-5;
  made.scratch_bytes = 100;
  made.asked = {{"keys", "512"}, {"threads", "1"}};
  return made;
}

TEST(Changes, AnErrorCountsBeyondRoundingAlone) {
  const PointFigures before = figures("restriction", {0.2, 0.5});
  // Of the second head: 2e-5 x 1.5.
  EXPECT_TRUE(changes_between(before, figures("restriction", {0.2, 0.500029})).empty());
  const auto larger = changes_between(before, figures("restriction", {0.2, 0.500031}));
  ASSERT_EQ(larger.size(), 1u);
  EXPECT_THAT(larger[0].text, HasSubstr("result changed"));
  EXPECT_THAT(larger[0].text, HasSubstr("number 2; 1 of 2"));
  EXPECT_TRUE(larger[0].worse);
  EXPECT_FALSE(changes_between(before, figures("restriction", {0.2, 0.4})).at(0).worse);
}

TEST(Changes, ADistanceHasNoBetterSide) {
  const PointFigures before = figures("operation", {0.5});
  EXPECT_TRUE(changes_between(before, figures("operation", {0.4})).at(0).worse);
}

TEST(Changes, ANumberThatIsNoneIsSeen) {
  const PointFigures number = figures("estimator", {0.5}), none = figures("estimator", {NAN});
  EXPECT_TRUE(changes_between(number, none).at(0).worse);
  EXPECT_TRUE(changes_between(none, none).empty());
}

TEST(Changes, BytesCountExactly) {
  const PointFigures before = figures("exact", {0});
  PointFigures after = before;
  after.scratch_bytes = 101;
  after.parameter_bytes = 0;
  auto changes = changes_between(before, after);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].text, "scratch 100 bytes, then 101");
  EXPECT_TRUE(changes[0].worse);
  EXPECT_FALSE(changes_between(after, before).at(0).worse);
}

TEST(Changes, AWorseEndingIsOne) {
  const PointFigures ok = figures("exact", {0});
  PointFigures crashed;
  crashed.status = Status::crashed;
  crashed.reason = "SIGSEGV";
  EXPECT_THAT(changes_between(ok, crashed).at(0).text, "ok, then crashed (SIGSEGV)");
  EXPECT_TRUE(changes_between(ok, crashed).at(0).worse);
  EXPECT_FALSE(changes_between(crashed, ok).at(0).worse);
}

TEST(Unlike, NamesTheFirstFieldThatBothTell) {
  PointFigures a = figures("exact", {0}), b = a;
  EXPECT_EQ(unlike(a, b), "");
  b.asked.erase("keys");
  EXPECT_EQ(unlike(a, b), "") << "an older record may have fewer fields";
  b.asked["threads"] = "2";
  EXPECT_EQ(unlike(a, b), "threads = 1 and 2");
}

TEST(FiguresFromJson, NameWhatIsMissing) {
  nlohmann::json json = to_json(Record());
  EXPECT_NO_THROW(figures_from_json(json));
  json["a_field_of_tomorrow"] = 1;
  json["schema"] = kRecordSchema + 1;
  EXPECT_EQ(figures_from_json(json).schema, kRecordSchema + 1);
  json.erase("heap_bytes");
  try {
    figures_from_json(json);
    FAIL() << "no error";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("heap_bytes"));
  }
}

TEST(ComparisonText, SaysWhichPointsRegressed) {
  SideBySide comparison{.names = {"old", "new\x1b[31m"}, .smallest_effect = kEffect};
  PointComparison slow{.group = "gaussian, n = 512", .variant = "local(radius=4)"};
  slow.figures = {figures("restriction", {0.2}), figures("restriction", {0.2})};
  slow.times = {std::vector<double>{1e6, 1e6}, std::vector<double>{2e6, 2e6}};
  slow.test = MeanTest{std::log(2), std::log(1.9), std::log(2.1), 1e-6};
  comparison.points = {slow, slow};
  comparison.points[1].variant = "mean";
  comparison.points[1].test = MeanTest{0, -0.01, 0.01, 1};
  judge_tests(comparison);
  const std::string text = comparison_text(comparison);
  EXPECT_THAT(text, HasSubstr("2.000 [1.900 2.100]"));
  EXPECT_THAT(text, HasSubstr("!  local(radius=4)"));
  EXPECT_THAT(text, HasSubstr("same within 3.00 %"));
  EXPECT_THAT(text, HasSubstr("Regressions (!): 1."));
  EXPECT_THAT(text, Not(HasSubstr("\x1b"))) << "a name must not drive the terminal";
  const auto json = nlohmann::json::parse(comparison_json(comparison));
  EXPECT_EQ(json["regressions"], 1);
  EXPECT_EQ(json["points"][0]["verdict"], "slower");
  EXPECT_NEAR(json["points"][0]["ratio"], 2, 1e-12);
  EXPECT_EQ(json["points"][0]["adjusted_p"], 2e-6);
}

}  // namespace
}  // namespace subquad
