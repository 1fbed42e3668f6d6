#include "report/scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "report/report.h"
#include "report/summary.h"
#include "report_records.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_record;
using ::testing::Not;
using State = Crossover::State;

Crossover crossover(const std::string& sides) {
  std::vector<std::pair<Index, Side>> lengths;
  Index keys = 256;
  for (const char side : sides) {
    keys *= 2;
    lengths.emplace_back(keys, side == '+' ? Side::above : side == '-' ? Side::below : Side::open);
  }
  return crossover_of(lengths);
}

TEST(Crossover, IsABracketOfMeasuredLengths) {
  const Crossover between = crossover("--?+");
  EXPECT_EQ(between.state, State::between);
  EXPECT_EQ(between.slower_until, 1024);
  EXPECT_EQ(between.faster_from, 4096);
  EXPECT_EQ(crossover("+++").state, State::faster);
  EXPECT_EQ(crossover("+++").faster_from, 512);
  EXPECT_EQ(crossover("---").state, State::slower);
  EXPECT_EQ(crossover("---").slower_until, 2048);
  EXPECT_EQ(crossover("???").state, State::undecided);
  EXPECT_EQ(crossover("??+").state, State::faster_later);
  EXPECT_EQ(crossover("??+").faster_from, 2048);
  EXPECT_EQ(crossover("-??").state, State::slower_at_first);
  EXPECT_EQ(crossover("-??").slower_until, 512);
  EXPECT_EQ(crossover("-+?").state, State::slower_at_first) << "not faster to the end";
  EXPECT_EQ(crossover("?--").state, State::slower_at_last);
  EXPECT_EQ(crossover("?--").slower_from, 1024);
  EXPECT_EQ(crossover("+-+").state, State::between) << "the last of several";
  EXPECT_EQ(crossover("+-+").slower_until, 1024);
}

TEST(ExponentOf, FindsThePower) {
  std::vector<std::pair<Index, double>> points;
  for (const Index keys : {500, 1000, 1600, 4000}) {
    points.emplace_back(keys, 3 * std::pow(keys, 1.5));
  }
  const Exponent exponent = exponent_of(points);
  EXPECT_NEAR(exponent.value, 1.5, 1e-12);
  EXPECT_NEAR(exponent.margin.value(), 0, 1e-9);
  EXPECT_EQ(exponent.last_step->from, 1600) << "the longest of at most half of 4000";
  EXPECT_EQ(exponent.last_step->to, 4000);
  EXPECT_NEAR(exponent.last_step->value, 1.5, 1e-12);
}

TEST(ExponentOf, LastStepIsLocal) {
  const Exponent exponent = exponent_of({{512, 1}, {1024, 2}, {2048, 8}});
  EXPECT_NEAR(exponent.last_step->value, 2, 1e-12);
  EXPECT_NEAR(exponent.value, 1.5, 1e-12);
  const Exponent narrow = exponent_of({{1000, 1}, {1500, 2}});
  EXPECT_FALSE(narrow.last_step);
  EXPECT_FALSE(narrow.margin) << "two lengths give no interval";
}

/// `variant` at 512, 1024 and 2048 keys with time n^2 over an anchor of the same.
std::vector<Record> growing(const std::string& variant) {
  std::vector<Record> records;
  for (const Index keys : {1024, 512, 2048}) {
    const double square = static_cast<double>(keys * keys);
    const std::vector<double> anchor_ns(6, square * 2);
    for (Record record : {make_anchor(anchor_ns),
                          make_record(variant, "restriction", std::vector(6, square), anchor_ns)}) {
      record.problem.keys = record.problem.queries = keys;
      record.scratch_bytes = static_cast<std::uint64_t>(keys * 8);
      records.push_back(record);
    }
  }
  return records;
}

TEST(Scaling, IsOverLengthsOfOneKindOfProblem) {
  std::vector<Record> records = growing("r");
  Record elsewhere = records[1];
  elsewhere.machine = "other";
  records.push_back(elsewhere);
  const Summary summary = summarise(records, {});
  ASSERT_EQ(summary.scaling.size(), 1u) << "one length on the other machine is no series";
  const Series& series = summary.scaling[0];
  EXPECT_THAT(series.lengths, ElementsAre(512, 1024, 2048));
  ASSERT_EQ(series.trends.size(), 2u);
  EXPECT_EQ(series.trends[0].record->variant, "dense");
  EXPECT_FALSE(series.trends[0].crossover) << "the anchor's own";
  const Trend& trend = series.trends[1];
  EXPECT_NEAR(trend.time->value, 2, 1e-12);
  EXPECT_NEAR(trend.memory->value, 1, 1e-12);
  EXPECT_EQ(trend.crossover->state, State::faster);
  ASSERT_EQ(trend.speed_ups.size(), 3u);
  EXPECT_DOUBLE_EQ(trend.speed_ups[0].median, 2);
}

TEST(Scaling, OnlyPointsThatEndedWellCount) {
  std::vector<Record> records = growing("r");
  records[5].status = Status::mistrusted;
  const Summary summary = summarise(records, {});
  const Trend& trend = summary.scaling.at(0).trends.at(1);
  EXPECT_THAT(trend.lengths, ElementsAre(512, 1024));
  EXPECT_FALSE(trend.time->margin);
}

TEST(Scaling, NoScratchHasNoExponent) {
  std::vector<Record> records = growing("r");
  for (Record& record : records) record.scratch_bytes = 0;
  const Summary summary = summarise(records, {});
  EXPECT_FALSE(summary.scaling.at(0).trends.at(1).memory);
}

TEST(Scaling, WorkIsUsefulMultiplyAdds) {
  std::vector<Record> records = growing("r");
  for (Record& record : records) {
    record.useful_multiply_adds = std::pow(static_cast<double>(record.problem.keys), 1.5);
  }
  const Summary summary = summarise(records, {});
  EXPECT_NEAR(summary.scaling.at(0).trends.at(1).work->value, 1.5, 1e-12);
  for (Record& record : records) record.useful_multiply_adds = 0;  // a mean multiplies nothing
  EXPECT_FALSE(summarise(records, {}).scaling.at(0).trends.at(1).work);
}

TEST(Scaling, QuadraticWorkIsTold) {
  std::vector<Record> records = growing("r");
  const auto grows = [&](double power) {
    for (Record& record : records) {
      record.useful_multiply_adds = std::pow(static_cast<double>(record.problem.keys), power);
    }
    return summarise(records, {}).scaling.at(0).trends.at(1).is_quadratic();
  };
  EXPECT_TRUE(grows(2));
  EXPECT_FALSE(grows(1.5));
  for (Record& record : records) record.target = "operation";
  grows(2);
  EXPECT_THAT(report(records), HasSubstr("not sub-quadratic"));
  grows(1.9);
  EXPECT_THAT(report(records), Not(HasSubstr("not sub-quadratic")));
  grows(2);
  for (Record& record : records) record.decoded_tokens = 64;
  EXPECT_FALSE(summarise(records, {}).scaling.at(0).trends.at(1).is_quadratic());
}

TEST(Scaling, ParametersAreLearnedAndRandomTensors) {
  std::vector<Record> records = growing("r");
  EXPECT_FALSE(summarise(records, {}).scaling.at(0).trends.at(1).parameters);
  for (Record& record : records) {
    const auto keys = static_cast<std::uint64_t>(record.problem.keys);
    record.parameter_bytes = keys * keys / 2;
    record.random_bytes = keys * keys / 2;
  }
  EXPECT_NEAR(summarise(records, {}).scaling.at(0).trends.at(1).parameters->value, 2, 1e-12);
}

TEST(Scaling, HeapCountsAsScratch) {
  std::vector<Record> records = growing("r");
  for (Record& record : records) {
    record.scratch_bytes = 0;
    record.heap_bytes = static_cast<std::uint64_t>(record.problem.keys * record.problem.keys);
  }
  const Summary summary = summarise(records, {});
  EXPECT_NEAR(summary.scaling.at(0).trends.at(1).memory->value, 2, 1e-12);
}

TEST(Scaling, FixedNumbersOfQueriesAreASeriesOfTheirOwn) {
  std::vector<Record> records = growing("r");
  for (Record record : growing("r")) {
    record.problem.queries = 1;
    record.problem.first_query = record.problem.keys - 1;
    records.push_back(record);
  }
  const Summary summary = summarise(records, {});
  ASSERT_EQ(summary.scaling.size(), 2u);
  EXPECT_THAT(summary.scaling[1].lengths, ElementsAre(512, 1024, 2048));
}

TEST(Scaling, StaleFiguresAreLeftOut) {
  std::vector<Record> records = growing("r");
  Record again = records[1];
  again.build = "build-b";
  records.push_back(again);
  const Summary summary = summarise(records, {});
  EXPECT_TRUE(summary.scaling.empty()) << "one length of today's code";
  for (std::size_t i = 0; i < 6; ++i) records[i].build = "build-c";
  records.pop_back();
  EXPECT_EQ(summarise(records, {.builds = {"build-z"}}).scaling.size(), 1u) << "all are stale";
}

}  // namespace
}  // namespace subquad
