#include "report/spread.h"

#include <gtest/gtest.h>

#include <cmath>

#include "report_records.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using testing::make_record;

/// Standard deviations of what is planted.
struct Planted {
  double method = 0, input = 0;         ///< of errors
  double timing = 0, timing_input = 0;  ///< of times, relative
  int seeds = 0, draws = 0, rounds = 0, heads = 3;
};

std::vector<Record> planted_records(const Planted& planted, std::uint64_t seed) {
  Generator random(seed);
  std::vector<Record> records;
  for (int i = 0; i < planted.seeds; ++i) {
    const double level = planted.timing_input * random.normal();
    std::vector<double> time_ns, anchor_ns;
    for (int round = 0; round < planted.rounds; ++round) {
      // The machine's pace changes from round to round, for both alike.
      anchor_ns.push_back(1e6 * std::exp(0.5 * random.normal()));
      time_ns.push_back(anchor_ns.back() * std::exp(level + planted.timing * random.normal()));
    }
    Record& record = records.emplace_back(make_record("e", "estimator", time_ns, anchor_ns));
    record.seed = i;
    record.random_bytes = 64;
    std::vector<double> centres;
    // Heads differ by more than all the rest.
    for (int head = 0; head < planted.heads; ++head) {
      centres.push_back(0.5 + 0.2 * head + planted.input * random.normal());
    }
    const auto draw = [&] {
      std::vector<double> errors;
      for (const double centre : centres)
        errors.push_back(centre + planted.method * random.normal());
      return errors;
    };
    record.error = {{"relative_error", draw()}};
    // Uneven: half of the seeds have fewer draws.
    for (int k = 1; k < planted.draws - i % 2; ++k) record.draws.push_back({1000u + k, draw()});
  }
  return records;
}

std::optional<Spread> spread_over(const std::vector<Record>& records) {
  std::vector<const Record*> seeds;
  for (const Record& record : records) seeds.push_back(&record);
  return spread_of(seeds);
}

double square(double value) { return value * value; }

TEST(Spread, GetsPlantedVariancesBackWithinATenth) {
  const Planted planted = {.method = 0.03,
                           .input = 0.05,
                           .timing = 0.04,
                           .timing_input = 0.06,
                           .seeds = 1500,
                           .draws = 5,
                           .rounds = 9};
  const auto spread = spread_over(planted_records(planted, 8));
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->seeds, 1500u);
  EXPECT_EQ(spread->draws, 1500u * 9 / 2);
  EXPECT_NEAR(spread->error, 0.7, 0.01);
  EXPECT_NEAR(square(spread->method_error->value), square(0.03), 0.1 * square(0.03));
  EXPECT_NEAR(square(spread->input_error->value), square(0.05), 0.1 * square(0.05));
  EXPECT_NEAR(square(spread->timing_time->value), square(0.04), 0.1 * square(0.04));
  EXPECT_NEAR(square(spread->input_time->value), square(0.06), 0.1 * square(0.06));
  EXPECT_FALSE(spread->method_in_input);
}

TEST(Spread, OneSeedWithDrawsTellsTheMethodAlone) {
  const Planted planted = {.method = 0.03, .seeds = 1, .draws = 4000, .rounds = 6, .heads = 1};
  const auto spread = spread_over(planted_records(planted, 9));
  ASSERT_TRUE(spread);
  EXPECT_NEAR(square(spread->method_error->value), square(0.03), 0.1 * square(0.03));
  EXPECT_FALSE(spread->input_error);
  EXPECT_FALSE(spread->input_time);
}

TEST(Spread, SeedsWithoutDrawsDoNotTellMethodFromInput) {
  std::vector<Record> records =
      planted_records({.method = 0.03, .seeds = 5, .draws = 1, .rounds = 6}, 10);
  const auto spread = spread_over(records);
  ASSERT_TRUE(spread && spread->input_error);
  EXPECT_FALSE(spread->method_error);
  EXPECT_TRUE(spread->method_in_input);
  for (Record& record : records) record.random_bytes = 0;
  EXPECT_FALSE(spread_over(records)->method_in_input) << "it draws nothing";
}

TEST(Spread, ANegativeEstimateIsZeroAndSaid) {
  // Both seeds have the same mean and scatter around it.
  std::vector<Record> records(2, make_record("e", "estimator", {1, 2}, {2, 4}));
  records[1].seed = 1;
  for (Record& record : records) {
    record.error = {{"relative_error", {0.4}}};
    record.draws = {{7, {0.6}}};
  }
  const auto spread = spread_over(records);
  ASSERT_TRUE(spread && spread->input_error);
  EXPECT_EQ(spread->input_error->value, 0);
  EXPECT_TRUE(spread->input_error->negative);
  EXPECT_FALSE(spread->method_error->negative);
}

TEST(Spread, IsNothingForOneMeasurement) {
  EXPECT_FALSE(spread_over({make_record("e", "estimator", {1, 2}, {2, 4})}));
  std::vector<Record> records = planted_records({.seeds = 2, .draws = 1, .rounds = 6}, 3);
  records[1].status = Status::crashed;
  EXPECT_FALSE(spread_over(records)) << "one seed is left";
}

}  // namespace
}  // namespace subquad
