#include "measuring/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "subquad/random.h"

namespace subquad {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddleValues) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(Quantile, InterpolatesBetweenOrderStatistics) {
  EXPECT_EQ(quantile({10, 20, 30, 40, 50}, 0), 10);
  EXPECT_EQ(quantile({10, 20, 30, 40, 50}, 1), 50);
  EXPECT_DOUBLE_EQ(quantile({10, 20, 30, 40, 50}, 0.9), 46);
  EXPECT_EQ(quantile({1, 2, INFINITY}, 0.5), 2);
}

// Conover, "Practical Nonparametric Statistics", table of confidence limits for the median: ranks
// and levels by the binomial distribution.
TEST(MedianInterval, HasTheRanksOfTheBinomialDistribution) {
  const auto one_to = [](int count) {
    std::vector<double> values(count);
    for (int i = 0; i < count; ++i) values[count - 1 - i] = i + 1;
    return values;
  };
  const MedianInterval five = median_interval(one_to(5));
  EXPECT_EQ(five.low, 1);
  EXPECT_EQ(five.high, 5);
  EXPECT_NEAR(five.coverage, 0.9375, 1e-12);
  const MedianInterval six = median_interval(one_to(6));
  EXPECT_EQ(six.low, 1);
  EXPECT_NEAR(six.coverage, 1 - 2.0 / 64, 1e-12);
  const MedianInterval nine = median_interval(one_to(9));
  EXPECT_EQ(nine.low, 2);
  EXPECT_EQ(nine.high, 8);
  EXPECT_NEAR(nine.coverage, 1 - 20.0 / 512, 1e-12);
  const MedianInterval twenty = median_interval(one_to(20));
  EXPECT_EQ(twenty.low, 6);
  EXPECT_EQ(twenty.high, 15);
  EXPECT_NEAR(twenty.coverage, 0.9586, 1e-4);
}

TEST(MedianInterval, OfOneValueCoversNothing) {
  const MedianInterval interval = median_interval({4});
  EXPECT_EQ(interval.low, 4);
  EXPECT_EQ(interval.high, 4);
  EXPECT_EQ(interval.coverage, 0);
  EXPECT_TRUE(std::isnan(median_interval({}).low));
}

TEST(MedianInterval, HoldsTheMedianAsOftenAsItSays) {
  Generator random(5);
  constexpr int kTrials = 20000;
  int held = 0;
  double coverage = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(9);
    for (double& value : values) value = -std::log(random.uniform());  // median log 2
    const MedianInterval interval = median_interval(values);
    held += interval.low <= std::log(2.0) && std::log(2.0) <= interval.high;
    coverage = interval.coverage;
  }
  // Five standard errors of a proportion.
  EXPECT_NEAR(held / double{kTrials}, coverage, 5 * std::sqrt(coverage * (1 - coverage) / kTrials));
}

}  // namespace
}  // namespace subquad
