#include "kernels/descent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace subquad {
namespace {

/// sum of 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2, whose minimum 0 lies at (1, ..., 1) at the end of
/// a bent valley.
double rosenbrock(std::span<const double> x, std::span<double> gradient) {
  std::fill(gradient.begin(), gradient.end(), 0);
  double value = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
    value += 100 * a * a + b * b;
    gradient[i] += -400 * a * x[i] - 2 * b;
    gradient[i + 1] += 200 * a;
  }
  return value;
}

TEST(Descent, FollowsABentValleyToItsEnd) {
  std::vector<double> x = {-1.2, 1, -1.2, 1, -1.2, 1}, ignored(6);
  const double start = rosenbrock(x, ignored);
  const Descent done = descend(rosenbrock, x, {.steps = 300});
  EXPECT_EQ(done.before, start);
  EXPECT_LT(done.after, 1e-18);
  for (const double value : x) EXPECT_NEAR(value, 1, 1e-8);
}

TEST(Descent, SolvesAnIllConditionedQuadratic) {
  constexpr std::size_t kSize = 20;
  // sum of c_i (x_i - i)^2 / 2 with c from 1 to 1e4.
  const auto quadratic = [](std::span<const double> x, std::span<double> gradient) {
    double value = 0;
    for (std::size_t i = 0; i < kSize; ++i) {
      const double c = std::pow(1e4, static_cast<double>(i) / (kSize - 1));
      const double distance = x[i] - static_cast<double>(i);
      value += c * distance * distance / 2;
      gradient[i] = c * distance;
    }
    return value;
  };
  std::vector<double> x(kSize);
  const Descent done = descend(quadratic, x, {.steps = 500});
  EXPECT_LT(done.after, 1e-16 * done.before);
  for (std::size_t i = 0; i < kSize; ++i) EXPECT_NEAR(x[i], static_cast<double>(i), 1e-6);
}

TEST(Descent, NeverEndsAboveWhereItBegan) {
  for (int steps = 0; steps < 20; ++steps) {
    std::vector<double> x = {3, -2};
    std::vector<double> ignored(2);
    const Descent done = descend(rosenbrock, x, {.steps = steps, .memory = 2, .halvings = 3});
    EXPECT_LE(done.after, done.before);
    EXPECT_LE(done.steps, steps);
    EXPECT_EQ(done.after, rosenbrock(x, ignored));
  }
}

TEST(Descent, StaysOffWhereTheFunctionIsNotFinite) {
  // x - log(x): not a number below 0, minimum 1 at 1.
  const auto barrier = [](std::span<const double> x, std::span<double> gradient) {
    gradient[0] = 1 - 1 / x[0];
    return x[0] - std::log(x[0]);
  };
  std::vector<double> x = {50};
  EXPECT_NEAR(descend(barrier, x).after, 1, 1e-14);
  EXPECT_NEAR(x[0], 1, 1e-6);
}

TEST(Descent, LeavesAMinimumAlone) {
  std::vector<double> x = {1, 1, 1};
  EXPECT_EQ(descend(rosenbrock, x).steps, 0);
  EXPECT_EQ(x, std::vector<double>({1, 1, 1}));
}

TEST(Descent, GivesUpWhereTheFunctionIsNotANumber) {
  const auto broken = [](std::span<const double>, std::span<double> gradient) {
    gradient[0] = 1;
    return std::numeric_limits<double>::quiet_NaN();
  };
  std::vector<double> x = {2};
  EXPECT_EQ(descend(broken, x).steps, 0);
  EXPECT_EQ(x[0], 2);
}

}  // namespace
}  // namespace subquad
