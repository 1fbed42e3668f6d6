#include "report/frontier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report/summary.h"
#include "report_records.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using testing::make_anchor;
using testing::make_record;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

/// Of an anchor that takes 100.
Record point(const std::string& variant, const std::string& target, double time, double error) {
  Record record = make_record(variant, target, std::vector(6, time), std::vector(6, 100.0));
  record.error = {{"relative_error", {error}}};
  return record;
}

std::vector<std::string> unbeaten(const Summary& summary) {
  std::vector<std::string> names;
  const Table& table = summary.tables.at(0);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (table.frontier.unbeaten[i]) names.push_back(table.rows[i].first().variant);
  }
  return names;
}

TEST(Hypervolume, IsTheAreaOfAStaircase) {
  EXPECT_EQ(hypervolume({}), 0);
  EXPECT_DOUBLE_EQ(hypervolume({{0, 0}}), 1);
  EXPECT_DOUBLE_EQ(hypervolume({{0.25, 0.5}}), 0.75 * 0.5);
  // The second adds what lies below the first: 0.25 wide, 0.4 high. The third is beaten, the others
  // are outside.
  EXPECT_DOUBLE_EQ(hypervolume({{0.75, 0.1}, {0.25, 0.5}, {0.8, 0.6}, {1, 0}, {0.1, 1.2}, {2, 0}}),
                   0.75 * 0.5 + 0.25 * 0.4);
}

TEST(Hypervolume, EqualsCountedCells) {
  Generator random(4);
  constexpr int kCells = 200;
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<Tradeoff> members(1 + trial % 7);
    for (Tradeoff& member : members) {
      // On cell borders, so that the count is exact.
      member.time = std::floor(1.3 * kCells * random.uniform()) / kCells;
      member.error = std::floor(1.3 * kCells * random.uniform()) / kCells;
    }
    int reached = 0;
    for (int i = 0; i < kCells; ++i) {
      for (int j = 0; j < kCells; ++j) {
        const double time = (i + 0.5) / kCells, error = (j + 0.5) / kCells;
        reached += std::any_of(members.begin(), members.end(), [&](const Tradeoff& m) {
          return m.time <= time && m.error <= error;
        });
      }
    }
    EXPECT_NEAR(hypervolume(members), reached / double{kCells * kCells}, 1e-12);
  }
}

TEST(Frontier, HoldsWhatNothingBeats) {
  const std::vector<Record> records = {
      make_anchor(std::vector(6, 100.0)),      point("naive", "exact", 200, 1e-7),
      point("good", "restriction", 20, 0.3),   point("twin", "estimator", 20, 0.3),
      point("beaten", "restriction", 30, 0.4), point("precise", "estimator", 90, 0.01),
      point("late", "estimator", 150, 0.01)};
  EXPECT_THAT(unbeaten(summarise(records, {})),
              UnorderedElementsAre("dense", "good", "twin", "precise"));
}

TEST(Frontier, OnlyWhatApproximatesDenseTakesPart) {
  Record crashed = testing::make_ending("gone", Status::crashed, "signal 11");
  Record doubtful = point("doubtful", "restriction", 1, 0.01);
  doubtful.status = Status::mistrusted;
  const std::vector<Record> records = {make_anchor(std::vector(6, 100.0)),
                                       point("good", "restriction", 20, 0.3),
                                       point("op", "operation", 5, 0.1),
                                       point("best", "oracle", 5, 0.1),
                                       crashed,
                                       doubtful};
  EXPECT_THAT(unbeaten(summarise(records, {})), ElementsAre("dense", "good"));
}

TEST(Frontier, AControlThatBeatsMembersIsNamed) {
  const std::vector<Record> records = {
      make_anchor(std::vector(6, 100.0)), point("mean", "control", 5, 0.4),
      point("good", "restriction", 20, 0.3), point("poor", "restriction", 20, 0.5)};
  const Summary summary = summarise(records, {});
  EXPECT_THAT(unbeaten(summary), ElementsAre("dense", "good"));
  EXPECT_THAT(summary.tables[0].frontier.beaten_by_control,
              ElementsAre(Pair("mean", ElementsAre("poor"))));
}

TEST(Frontier, HypervolumeIsOverTheAnchorAndByFamily) {
  const std::vector<Record> records = {
      make_anchor(std::vector(6, 100.0)), point("a(k=1)", "restriction", 20, 0.5),
      point("a(k=2)", "restriction", 60, 0.25), point("b", "estimator", 50, 0.5)};
  const Summary summary = summarise(records, {});
  const Frontier& frontier = summary.tables.at(0).frontier;
  EXPECT_DOUBLE_EQ(frontier.hypervolume.value(), 0.8 * 0.5 + 0.4 * 0.25);
  EXPECT_DOUBLE_EQ(frontier.family_hypervolume.at("b"), 0.5 * 0.5);
  EXPECT_DOUBLE_EQ(frontier.family_hypervolume.at("dense"), 0);
}

TEST(Frontier, WithoutAnchorThereIsNoHypervolume) {
  Record record = point("a", "restriction", 20, 0.5);
  for (Round& round : record.rounds) round.anchor_ns = 0;
  const std::vector<Record> records = {record};
  const Summary summary = summarise(records, {});
  EXPECT_FALSE(summary.tables.at(0).frontier.hypervolume);
  EXPECT_THAT(unbeaten(summary), ElementsAre("a"));
}

}  // namespace
}  // namespace subquad
