#include "report/models.h"

#include <gtest/gtest.h>

#include <cmath>

#include "subquad/random.h"

namespace subquad {
namespace {

// Anscombe, "Graphs in Statistical Analysis", 1973, first data set: slope 0.5, standard error
// 0.118; Student's t with nine degrees of freedom is 2.262 at 97.5 %.
TEST(FitLine, MeetsAPublishedRegression) {
  const auto fit = fit_line({10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5},
                            {8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68});
  ASSERT_TRUE(fit && fit->slope_margin);
  EXPECT_NEAR(fit->slope, 0.5001, 1e-4);
  EXPECT_NEAR(fit->intercept, 3.0001, 1e-4);
  EXPECT_NEAR(*fit->slope_margin, 2.2622 * 0.1179, 1e-4);
}

// Without ties 1 - 6 sum d^2 / (n (n^2 - 1)); d = 1, 1, 0, 1, 1 here.
TEST(RankCorrelation, MeetsTheClosedForm) {
  const auto found = rank_correlation({10, 20, 30, 40, 50}, {2, 1, 3, 60, 5});
  ASSERT_TRUE(found);
  EXPECT_NEAR(*found, 1 - 6.0 * (1 + 1 + 0 + 1 + 1) / 120, 1e-12);
  EXPECT_NEAR(*rank_correlation({1, 2, 3}, {9, 8, 1}), -1, 1e-12);
}

TEST(RankCorrelation, SharesRanksAmongEqualValues) {
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  EXPECT_NEAR(*rank_correlation({1, 2, 2, 3}, {1, 2, 3, 4}), 4.5 / std::sqrt(4.5 * 5), 1e-12);
  EXPECT_FALSE(rank_correlation({1, 1, 1}, {1, 2, 3}));
  EXPECT_FALSE(rank_correlation({1}, {1}));
}

TEST(FitLine, OfTwoPointsHasNoInterval) {
  const auto fit = fit_line({1, 3}, {2, 8});
  ASSERT_TRUE(fit);
  EXPECT_DOUBLE_EQ(fit->slope, 3);
  EXPECT_FALSE(fit->slope_margin);
  EXPECT_FALSE(fit_line({1}, {2}));
  EXPECT_FALSE(fit_line({1, 1, 1}, {2, 3, 4})) << "no slope through one x";
}

TEST(FitLine, IntervalHoldsTheSlopeAsOftenAsItSays) {
  Generator random(3);
  constexpr int kTrials = 4000;
  int held = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> x, y;
    for (int i = 0; i < 4; ++i) {
      x.push_back(i);
      y.push_back(2 * i + 0.3 * random.normal());
    }
    const auto fit = fit_line(x, y);
    held += std::abs(fit->slope - 2) <= *fit->slope_margin;
  }
  // Five standard errors of a proportion.
  EXPECT_NEAR(held / double{kTrials}, kConfidence,
              5 * std::sqrt(kConfidence * (1 - kConfidence) / kTrials));
}

TEST(SplitVariance, OfFourValuesByHand) {
  // Within: (1 + 1 + 1 + 1) / 2 = 2. Between: mean square 2 (4 + 4) / 1 = 16, (16 - 2) / 2 = 7.
  const VarianceSplit split = split_variance({{1, 3}, {5, 7}, {}});
  EXPECT_DOUBLE_EQ(*split.within, 2);
  EXPECT_DOUBLE_EQ(*split.between, 7);
}

TEST(SplitVariance, SaysOnlyWhatValuesTell) {
  const VarianceSplit single = split_variance({{1}, {3}});
  EXPECT_FALSE(single.within);
  EXPECT_DOUBLE_EQ(*single.between, 2) << "the variance of the two";
  const VarianceSplit one_group = split_variance({{1, 3}});
  EXPECT_DOUBLE_EQ(*one_group.within, 2);
  EXPECT_FALSE(one_group.between);
  EXPECT_FALSE(split_variance({}).between);
}

TEST(SplitVariance, GetsPlantedPartsBackFromUnevenGroups) {
  Generator random(11);
  constexpr double kBetween = 4, kWithin = 0.25;
  std::vector<std::vector<double>> groups;
  for (int i = 0; i < 4000; ++i) {
    const double centre = 10 + std::sqrt(kBetween) * random.normal();
    auto& group = groups.emplace_back();
    for (int k = 0; k < 1 + i % 6; ++k) {
      group.push_back(centre + std::sqrt(kWithin) * random.normal());
    }
  }
  const VarianceSplit split = split_variance(groups);
  EXPECT_NEAR(*split.within, kWithin, 0.1 * kWithin);
  EXPECT_NEAR(*split.between, kBetween, 0.1 * kBetween);
}

TEST(SplitVariance, HasNoBiasWhereGroupsDoNotDiffer) {
  Generator random(12);
  double sum = 0;
  int negative = 0;
  constexpr int kTrials = 2000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<std::vector<double>> groups(4);
    for (std::size_t i = 0; i < groups.size(); ++i) {
      for (std::size_t k = 0; k < 2 + i; ++k) groups[i].push_back(random.normal());
    }
    const double between = *split_variance(groups).between;
    sum += between;
    negative += between < 0;
  }
  EXPECT_NEAR(sum / kTrials, 0, 0.05);
  EXPECT_GT(negative, kTrials / 3) << "without bias it must fall below 0 about every other time";
}

}  // namespace
}  // namespace subquad
