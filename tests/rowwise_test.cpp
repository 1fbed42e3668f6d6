#include "kernels/rowwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"

namespace subquad {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Distance of `value` from `exact` in units of the last place of a float of that size.
double ulps(float value, double exact) {
  const auto nearest = static_cast<float>(exact);
  const double unit = std::nextafter(nearest, kInfinity) - static_cast<double>(nearest);
  return std::abs(value - exact) / unit;
}

TEST(ExpMinus, IsWithinTwoUlpOverTheWholeRange) {
  constexpr int kPoints = 2'000'000;
  std::vector<float> values(kPoints), arguments(kPoints);
  const double low = std::log(std::numeric_limits<float>::min());
  const double high = std::log(std::numeric_limits<float>::max());
  for (int i = 0; i < kPoints; ++i) {
    arguments[i] = static_cast<float>(low + (high - low) * (i + 0.5) / kPoints);
  }
  values = arguments;
  exp_minus(values, 0);
  double worst = 0;
  for (int i = 0; i < kPoints; ++i) {
    worst = std::max(worst, ulps(values[i], std::exp(static_cast<double>(arguments[i]))));
  }
  EXPECT_LT(worst, 2.0);
}

TEST(ExpMinus, SaturatesAtBothEnds) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values = {-kInfinity, -1e30f, -87.4f, 88.8f, 1e30f, kInfinity, 0.0f, nan};
  exp_minus(values, 0);
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[1], 0);
  EXPECT_EQ(values[2], 0);
  EXPECT_EQ(values[3], kInfinity);
  EXPECT_EQ(values[4], kInfinity);
  EXPECT_EQ(values[5], kInfinity);
  EXPECT_EQ(values[6], 1);
  EXPECT_TRUE(std::isnan(values[7]));
}

TEST(ExpMinus, SumsWhatItWritesAtEveryLength) {
  for (int count = 0; count <= 200; ++count) {
    Generator random(count);
    std::vector<float> values(count + 1);
    for (float& value : values) value = static_cast<float>(random.normal());
    values[count] = 77;  // guard
    const std::vector<float> before = values;
    const float sum = exp_minus(std::span(values).first(count), 0.5f);
    double exact = 0;
    for (int i = 0; i < count; ++i) {
      const double expected = std::exp(static_cast<double>(before[i]) - 0.5);
      EXPECT_NEAR(values[i], expected, 4e-7 * expected);
      exact += expected;
    }
    EXPECT_NEAR(sum, exact, 1e-6 * exact);
    EXPECT_EQ(values[count], 77);
  }
}

/// x Phi(x) in double.
double exact_gelu(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }

TEST(GeluInPlace, KeepsItsDigitsOverTheWholeRange) {
  constexpr int kPoints = 2'000'000;
  std::vector<float> values(kPoints), arguments(kPoints);
  for (int i = 0; i < kPoints; ++i) {
    // Up to where results are normal numbers, and densely about 0.
    const double place = (i + 0.5) / kPoints * 2 - 1;
    arguments[i] = static_cast<float>(i % 2 == 0 ? 13.1 * place : place * place * place);
  }
  values = arguments;
  gelu_in_place(values);
  double worst = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double exact = exact_gelu(arguments[i]);
    if (std::abs(exact) < std::numeric_limits<float>::min()) continue;
    worst = std::max(worst, std::abs(values[i] / exact - 1));
  }
  EXPECT_LT(worst, 5 * std::numeric_limits<float>::epsilon());
}

TEST(GeluInPlace, IsTheIdentityAboveAndZeroBelow) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values = {-kInfinity, -1e30f, -20.0f, 0.0f, 20.0f, 1e30f, kInfinity, nan};
  gelu_in_place(values);
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[1], 0);
  EXPECT_EQ(values[2], 0);
  EXPECT_EQ(values[3], 0);
  EXPECT_EQ(values[4], 20);
  EXPECT_EQ(values[5], 1e30f);
  EXPECT_EQ(values[6], kInfinity);
  EXPECT_TRUE(std::isnan(values[7]));
}

TEST(GeluInPlace, WritesEveryLengthAndNoMore) {
  for (int count = 0; count <= 100; ++count) {
    Generator random(count);
    std::vector<float> values(count + 1);
    for (float& value : values) value = static_cast<float>(random.normal());
    values[count] = 77;  // guard
    const std::vector<float> before = values;
    gelu_in_place(std::span(values).first(count));
    for (int i = 0; i < count; ++i) {
      const double exact = exact_gelu(before[i]);
      EXPECT_NEAR(values[i], exact, 5 * std::numeric_limits<float>::epsilon() * std::abs(exact));
    }
    EXPECT_EQ(values[count], 77);
  }
}

/// Distance in units of the last place of a T of that size.
template <class T>
double ulps_of(T value, long double exact) {
  const T nearest = std::abs(static_cast<T>(exact));
  const long double unit =
      static_cast<long double>(std::nextafter(nearest, T{10})) - static_cast<long double>(nearest);
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact) / unit);
}

template <class T>
double worst_tanh(int points, T factor) {
  std::vector<T> arguments;
  // Every size from the smallest normal number to far beyond saturation, both signs, and densely
  // where the function bends.
  for (T x = std::numeric_limits<T>::min(); x < T{1e6}; x *= factor) arguments.push_back(x);
  for (int i = 0; i < points; ++i) arguments.push_back(T{22} * T(i) / T(points));
  const std::size_t half = arguments.size();
  for (std::size_t i = 0; i < half; ++i) arguments.push_back(-arguments[i]);
  std::vector<T> values = arguments;
  tanh_in_place(std::span<T>(values));
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const long double exact = std::tanh(static_cast<long double>(arguments[i]));
    worst = std::max(worst, ulps_of<T>(values[i], exact));
    if (i < half) {
      EXPECT_EQ(values[i], -values[half + i]);
    }
  }
  return worst;
}

TEST(TanhInPlace, IsWithinFourUlpOverTheWholeRange) {
  EXPECT_LT(worst_tanh<float>(2'000'000, 1.001f), 4.0);
  EXPECT_LT(worst_tanh<double>(1'000'000, 1.01), 4.0);
}

TEST(TanhInPlace, SaturatesAndKeepsSignsAndNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values = {-kInfinity, -1e30f, -9.1f,     -0.0f, 0.0f,
                               1e-42f,     9.1f,   kInfinity, nan};
  tanh_in_place(std::span<float>(values));
  const std::vector<float> expected = {-1, -1, -1, -0.0f, 0.0f, 1e-42f, 1, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(values[i], expected[i]);
  EXPECT_TRUE(std::signbit(values[3]));
  EXPECT_FALSE(std::signbit(values[4]));
  EXPECT_TRUE(std::isnan(values[8]));
}

TEST(SumOfTanh, AgreesWithDoubleAtEveryWidth) {
  constexpr Index kRows = 7, kStride = 160;
  Generator random(3);
  std::vector<float> rows(kRows * kStride), shifts(kRows), weights(kRows);
  for (std::vector<float>* all : {&rows, &shifts, &weights}) {
    for (float& value : *all) value = static_cast<float>(random.normal());
  }
  for (Index cols = 0; cols <= 140; ++cols) {
    std::vector<float> sums(cols + 1, 77);  // the last is a guard
    sum_of_tanh({rows.data(), kRows, cols, kStride}, shifts.data(), weights.data(), sums.data());
    for (Index j = 0; j < cols; ++j) {
      double exact = 0, size = 0;
      for (Index h = 0; h < kRows; ++h) {
        exact += weights[h] * std::tanh(double{rows[h * kStride + j]} + shifts[h]);
        size += std::abs(weights[h]);
      }
      // Rounded: each argument (below 8), each tanh, each of the additions.
      EXPECT_NEAR(sums[j], exact, (8 + kRows) * 6e-8 * size);
    }
    EXPECT_EQ(sums[cols], 77);
  }
}

TEST(RowPasses, MaximumAndScaleAtEveryLength) {
  for (int count = 0; count <= 100; ++count) {
    Generator random(count);
    std::vector<float> values(count + 1);
    float largest = -kInfinity;
    for (int i = 0; i < count; ++i) {
      values[i] = static_cast<float>(random.normal());
      largest = std::max(largest, values[i]);
    }
    values[count] = 1000;  // guard
    const std::vector<float> before = values;
    EXPECT_EQ(max_of(std::span<const float>(values).first(count)), largest);
    scale_by(std::span(values).first(count), -3);
    for (int i = 0; i < count; ++i) EXPECT_EQ(values[i], -3 * before[i]);
    EXPECT_EQ(values[count], 1000);
  }
}

TEST(SoftmaxInPlace, AgreesWithDoubleEvenForExtremeScores) {
  for (const double scale : {1.0, 1e4, 1e30}) {
    Generator random(5);
    std::vector<float> values(333);
    for (float& value : values) value = static_cast<float>(scale * random.normal());
    const std::vector<float> before = values;
    const double largest = max_of(before);
    double sum = 0;
    for (const float value : before) sum += std::exp(value - largest);
    const float log_sum_exp = softmax_in_place(values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(values[i], std::exp(before[i] - largest) / sum, 1e-6);
    }
    EXPECT_NEAR(log_sum_exp, largest + std::log(sum), 1e-7 * std::max(1.0, std::abs(largest)));
  }
}

TEST(LayerNorm, AgreesWithDoubleAroundAnyMean) {
  for (const Index cols : {1, 3, 16, 37, 64, 200}) {
    for (const double mean : {0.0, 50.0}) {
      Generator random(6);
      std::vector<float> rows(static_cast<std::size_t>(3 * cols)), gain, shift;
      for (float& value : rows) value = static_cast<float>(mean + 2 * random.normal());
      for (Index c = 0; c < cols; ++c) {
        gain.push_back(static_cast<float>(random.normal()));
        shift.push_back(static_cast<float>(random.normal()));
      }
      std::vector<float> to(rows.size()), plain(rows.size());
      layer_norm({rows.data(), 3, cols}, gain.data(), shift.data(), 1e-5f, {to.data(), 3, cols});
      layer_norm({rows.data(), 3, cols}, nullptr, nullptr, 1e-5f, {plain.data(), 3, cols});
      for (Index r = 0; r < 3; ++r) {
        const float* const row = rows.data() + r * cols;
        double sum = 0, squares = 0;
        for (Index c = 0; c < cols; ++c) sum += row[c];
        const double average = sum / static_cast<double>(cols);
        for (Index c = 0; c < cols; ++c) squares += (row[c] - average) * (row[c] - average);
        const double deviation = std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        for (Index c = 0; c < cols; ++c) {
          const auto at = static_cast<std::size_t>(r * cols + c),
                     column = static_cast<std::size_t>(c);
          const double normed = (row[c] - average) / deviation;
          // The float mean is off by some epsilon times its size, over the deviation.
          const double tolerance = 1e-6 * (1 + std::abs(normed)) + 4 * 6e-8 * mean / deviation;
          EXPECT_NEAR(plain[at], normed, tolerance) << cols;
          EXPECT_NEAR(to[at], normed * gain[column] + shift[column], 6 * tolerance) << cols;
        }
      }
      layer_norm({rows.data(), 3, cols}, nullptr, nullptr, 1e-5f, {rows.data(), 3, cols});
      EXPECT_EQ(rows, plain);
    }
  }
}

TEST(SoftmaxInPlace, OfNothingSeenIsZero) {
  std::vector<float> values(37, -kInfinity);
  EXPECT_EQ(softmax_in_place(values), -kInfinity);
  for (const float value : values) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace subquad
