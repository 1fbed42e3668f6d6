#include "kernels/random_features.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

std::vector<float> directions(Index features, Index dim, std::uint64_t seed = 1) {
  std::vector<float> values(static_cast<std::size_t>(features * dim));
  Generator random(seed);
  orthogonal_gaussians().floats(random, {{"features", features}, {"dim", dim}}, values);
  return values;
}

double dot(const float* a, const float* b, Index n) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

TEST(RandomFeatures, DirectionsOfABlockAreOrthogonal) {
  for (const Index dim : {1, 2, 16, 64}) {
    const Index features = 2 * dim + 1;
    const std::vector<float> w = directions(features, dim);
    for (Index a = 0; a < features; ++a) {
      for (Index b = 0; b < a; ++b) {
        const double cosine =
            dot(&w[a * dim], &w[b * dim], dim) /
            std::sqrt(dot(&w[a * dim], &w[a * dim], dim) * dot(&w[b * dim], &w[b * dim], dim));
        if (a / dim == b / dim) {
          EXPECT_NEAR(cosine, 0, 4 * kEpsilon) << dim;
        } else if (dim > 1) {
          EXPECT_LT(std::abs(cosine), 0.9999) << dim;
        }
      }
    }
  }
}

TEST(RandomFeatures, DirectionsHaveLengthsOfGaussians) {
  // Squares of lengths are chi-squared, of mean dim and variance 2 dim, and independent.
  const Index dim = 16, features = 16;
  double sum = 0, squares = 0;
  std::vector<double> component(16);
  constexpr int kSeeds = 500;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const std::vector<float> w = directions(features, dim, seed);
    for (Index f = 0; f < features; ++f) {
      const double length = dot(&w[f * dim], &w[f * dim], dim);
      sum += length;
      squares += length * length;
      component[f] += w[f * dim] / kSeeds;
    }
  }
  constexpr double kCount = kSeeds * 16;
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 16, 5 * std::sqrt(32 / kCount));
  EXPECT_NEAR(squares / kCount - mean * mean, 32, 3);
  // No direction is preferred: a sign that a factorisation fixes would show here.
  for (const double one : component) EXPECT_NEAR(one, 0, 5 / std::sqrt(kSeeds));
}

/// Inner product of the features of two rows.
double estimate(std::vector<float> x, std::vector<float> y, const std::vector<float>& w,
                double root) {
  const auto dim = static_cast<Index>(x.size());
  const Index features = static_cast<Index>(w.size()) / dim;
  x.insert(x.end(), y.begin(), y.end());
  std::vector<float> found(static_cast<std::size_t>(2 * features)), logs(2);
  Scratch scratch;
  scratch.worker_bytes = positive_features_scratch_bytes(2, dim, features);
  SimpleRun run(scratch);
  positive_features({x.data(), 2, dim}, {w.data(), features, dim}, root,
                    {found.data(), 2, features}, logs, run.worker());
  return dot(&found[0], &found[features], features) * std::exp(double{logs[0]} + logs[1]);
}

TEST(RandomFeatures, EstimateExponentialsWithoutBias) {
  const std::vector<float> x = {0.5f, -0.3f, 0.8f, 0.1f}, y = {0.2f, 0.9f, 0.4f, -0.6f};
  constexpr double kRoot = 0.8;
  double sum = 0, squares = 0;
  constexpr int kSeeds = 2000;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const double one = estimate(x, y, directions(8, 4, seed), kRoot);
    sum += one;
    squares += one * one;
  }
  const double mean = sum / kSeeds;
  const double deviation = std::sqrt((squares / kSeeds - mean * mean) / kSeeds);
  EXPECT_NEAR(mean, std::exp(kRoot * kRoot * dot(x.data(), y.data(), 4)), 5 * deviation);
  EXPECT_LT(deviation, 0.02);
}

TEST(RandomFeatures, AreWhatTheFormulaSays) {
  const std::vector<float> w = directions(7, 4), x = {3, -2, 1, 4}, y = {-1, 2, 0.5f, 1};
  double expected = 0;
  for (Index f = 0; f < 7; ++f) {
    const double root = 0.7;
    const auto feature = [&](const std::vector<float>& row) {
      return std::exp(root * dot(&w[f * 4], row.data(), 4) -
                      root * root * dot(row.data(), row.data(), 4) / 2) /
             std::sqrt(7.0);
    };
    expected += feature(x) * feature(y);
  }
  // Exponents stay below 30.
  EXPECT_NEAR(estimate(x, y, w, 0.7) / expected, 1, 4 * 30 * kEpsilon);
}

TEST(RandomFeatures, LargeRowsStayFinite) {
  const std::vector<float> w = directions(5, 2);
  const std::vector<float> rows = {1e4f, -3e4f, 0, 0};
  std::vector<float> found(10), logs(2);
  Scratch scratch;
  scratch.worker_bytes = positive_features_scratch_bytes(2, 2, 5);
  SimpleRun run(scratch);
  positive_features({rows.data(), 2, 2}, {w.data(), 5, 2}, 1, {found.data(), 2, 5}, logs,
                    run.worker());
  for (Index i = 0; i < 2; ++i) {
    EXPECT_EQ(*std::max_element(&found[i * 5], &found[i * 5] + 5), 1);
    EXPECT_TRUE(std::isfinite(logs[i]));
  }
}

}  // namespace
}  // namespace subquad
