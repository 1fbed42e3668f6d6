#include "comparing/paired_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace subquad {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// Hours of sleep gained by two drugs (Student, "The Probable Error of a Mean", 1908).
const std::vector<double> kFirst = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
const std::vector<double> kSecond = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};

TEST(TrimmedTest, OfFewValuesIsStudents) {
  // One degree of freedom, where Student's distribution is Cauchy's: t = 2.
  const MeanTest test = trimmed_test({1, 3});
  EXPECT_DOUBLE_EQ(test.mean, 2);
  EXPECT_NEAR(test.p, 1 - 2 * std::atan(2) / std::numbers::pi, 1e-12);
  const double quantile = std::tan(0.475 * std::numbers::pi);
  EXPECT_NEAR(test.low, 2 - quantile, 1e-9);
  EXPECT_NEAR(test.high, 2 + quantile, 1e-9);
}

TEST(TrimmedTest, LeavesOneInTenOutAtEachEnd) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < kFirst.size(); ++i) differences.push_back(kSecond[i] - kFirst[i]);
  // By hand: the middle eight have the mean 1.4; with 0 drawn in to 0.8 and 4.6 to 2.4 the squares
  // around the mean sum to 3.084, and t = 1.4 / sqrt(3.084 / 56), of 7 degrees of freedom.
  const MeanTest test = trimmed_test(differences);
  EXPECT_NEAR(test.mean, 1.4, 1e-12);
  EXPECT_NEAR(test.p, 5.6114e-4, 1e-8);
  EXPECT_NEAR(test.low, 0.845086, 1e-6);
  EXPECT_NEAR(test.high, 1.954914, 1e-6);
}

TEST(TrimmedTest, OneValueGoneWildMovesLittle) {
  std::vector<double> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const MeanTest tame = trimmed_test(values);
  values.back() = 1e9;
  const MeanTest wild = trimmed_test(values);
  EXPECT_DOUBLE_EQ(wild.mean, tame.mean);
  EXPECT_DOUBLE_EQ(wild.p, tame.p);
}

TEST(TrimmedTest, EqualValuesAreCertain) {
  EXPECT_EQ(trimmed_test({2, 2, 2}).p, 0);
  EXPECT_EQ(trimmed_test({0, 0, 0}).p, 1);
  EXPECT_THROW(trimmed_test({1}), std::logic_error);
}

TEST(WelchTest, GivesTheTextbooksFigures) {
  // As the manual of R prints for t.test(extra ~ group, data = sleep).
  const MeanTest test = welch_test(kFirst, kSecond);
  EXPECT_NEAR(test.mean, 1.58, 1e-12);
  EXPECT_NEAR(test.p, 0.07939, 5e-6);
  EXPECT_NEAR(test.low, -0.2054832, 5e-7);
  EXPECT_NEAR(test.high, 3.3654832, 5e-7);
  EXPECT_THROW(welch_test({1}, {1, 2}), std::logic_error);
}

TEST(Holm, StepsDown) {
  EXPECT_THAT(holm_adjusted({0.01, 0.04, 0.03, 0.005}),
              ElementsAre(DoubleNear(0.03, 1e-15), DoubleNear(0.06, 1e-15), DoubleNear(0.06, 1e-15),
                          DoubleNear(0.02, 1e-15)));
  EXPECT_THAT(holm_adjusted({0.9, 0.6}), ElementsAre(1, 1)) << "no p beyond 1";
  EXPECT_TRUE(holm_adjusted({}).empty());
}

}  // namespace
}  // namespace subquad
