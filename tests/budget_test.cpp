#include "report/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/summary.h"
#include "report_records.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::make_anchor;
using testing::make_ending;
using testing::make_record;
using ::testing::Pair;

/// Times of six rounds around `time`, over an anchor of 100.
Record point(const std::string& variant, double time, double error, std::uint64_t scratch = 0) {
  std::vector<double> time_ns;
  for (int round = 0; round < 6; ++round) time_ns.push_back(time + round);
  Record record = make_record(variant, "restriction", time_ns, std::vector(6, 100.0));
  record.error = {{"relative_error", {error, error, error}}};
  record.scratch_bytes = scratch;
  return record;
}

using Named = std::vector<std::pair<std::string, int>>;
using Reasons = std::vector<std::pair<std::string, std::string>>;

struct Judged {
  Named ranks;
  Reasons misses;
};

Judged judged(const std::vector<Record>& records, const Budget& budget) {
  const Summary summary = summarise(records, {.budget = budget});
  const Table& table = summary.tables.at(0);
  Judged found;
  for (const auto& place : table.budget->places) {
    found.ranks.emplace_back(table.rows[place.row].first().variant, place.rank);
  }
  for (const auto& miss : table.budget->misses) {
    found.misses.emplace_back(table.rows[miss.row].first().variant, miss.reason);
  }
  return found;
}

TEST(Budget, RanksByTimeWhatCanBeToldApart) {
  const Judged found =
      judged({point("slow", 70, 0.1), point("fast", 20, 0.1), point("middle", 40, 0.1)},
             {.max_error = 0.2});
  EXPECT_THAT(found.ranks, ElementsAre(Pair("fast", 1), Pair("middle", 2), Pair("slow", 3)));
}

TEST(Budget, WhatCannotBeToldApartSharesARank) {
  Record twin = point("twin", 20, 0.1);
  for (Round& round : twin.rounds) round.time_ns *= round.round % 2 == 0 ? 0.9 : 1.15;
  const Judged found =
      judged({twin, point("fast", 20, 0.1), point("slow", 40, 0.1)}, {.max_error = 0.2});
  EXPECT_THAT(found.ranks, ElementsAre(Pair("fast", 1), Pair("twin", 1), Pair("slow", 3)));
}

TEST(Budget, FewRoundsTellNothingApart) {
  std::vector<Record> records = {point("fast", 20, 0.1), point("slow", 90, 0.1)};
  for (Record& record : records) record.rounds.resize(5);
  EXPECT_THAT(judged(records, {.max_error = 0.2}).ranks,
              ElementsAre(Pair("fast", 1), Pair("slow", 1)));
}

TEST(Budget, SaysWhichCriterionIsMissed) {
  Record large = point("large", 30, 0.3, 3 << 20);
  large.heap_bytes = 1 << 20;
  large.random_bytes = 1 << 20;
  const Judged found = judged({point("good", 20, 0.25, 1 << 20), large,
                               make_ending("gone", Status::out_of_memory, "no room")},
                              {.max_error = 0.25, .memory_bytes = 4 << 20});
  EXPECT_THAT(found.ranks, ElementsAre(Pair("good", 1)));
  EXPECT_THAT(found.misses,
              ElementsAre(Pair("large", "error 0.300 > 0.250; memory 5.00 MiB > 4.00 MiB"),
                          Pair("gone", "out of memory")));
}

TEST(Budget, LimitsThatAreNotGivenDoNotBind) {
  const Judged found = judged({point("far", 20, 5, 1 << 30)}, {.memory_bytes = 0x1p31});
  EXPECT_THAT(found.ranks, ElementsAre(Pair("far", 1)));
}

TEST(Budget, SampledErrorsCountWithTwoStandardErrors) {
  Record record = point("sampled", 20, 0.2);
  record.sampled = true;
  record.error_deviation = {{"relative_error", {0.04, 0.04, 0.04}}};
  EXPECT_THAT(judged({record}, {.max_error = 0.285}).ranks, ElementsAre(Pair("sampled", 1)));
  EXPECT_THAT(judged({record}, {.max_error = 0.275}).misses,
              ElementsAre(Pair("sampled", "error of a sample of rows may be up to 0.280 > 0.275")));
}

TEST(Budget, ErrorsThatAreNoNumbersMissIt) {
  Record nan = point("nan", 20, std::nan(""));
  Record none = point("none", 20, 0);
  none.error.clear();
  const Judged found = judged({nan, none}, {.max_error = 1});
  EXPECT_THAT(found.ranks, IsEmpty());
  EXPECT_THAT(found.misses, ElementsAre(Pair("nan", "error nan > 1.00"),
                                        Pair("none", "its error was not measured")));
}

}  // namespace
}  // namespace subquad
