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

TEST(RandomFeatures, RegularisedDirectionsAreOrthogonalAndOfOneLength) {
  const Index dim = 16, features = 40;
  std::vector<float> w(static_cast<std::size_t>(features * dim));
  Generator random(1);
  orthogonal_of_one_length().floats(random, {{"features", features}, {"dim", dim}}, w);
  for (Index a = 0; a < features; ++a) {
    EXPECT_NEAR(dot(&w[a * dim], &w[a * dim], dim), dim, 16 * kEpsilon * dim);
    for (Index b = a / dim * dim; b < a; ++b) {
      EXPECT_NEAR(dot(&w[a * dim], &w[b * dim], dim), 0, 4 * kEpsilon * dim);
    }
  }
}

/// What one row becomes of each direction alone: features of a map that has only that one.
class Maps {
 public:
  explicit Maps(std::vector<float> w) : w_(std::move(w)) {}

  std::vector<double> positive(const std::vector<float>& x, bool hyperbolic) const {
    const Index count = directions(x);
    std::vector<float> exponents(static_cast<std::size_t>(hyperbolic ? 2 * count : count));
    const auto columns = static_cast<Index>(exponents.size());
    const auto dim = static_cast<Index>(x.size());
    Scratch scratch;
    scratch.worker_bytes = positive_features_scratch_bytes(1, dim, count);
    SimpleRun run(scratch);
    positive_exponents({x.data(), 1, dim}, {w_.data(), count, dim}, 1,
                       {exponents.data(), 1, columns}, run.worker());
    std::vector<double> features;
    const double factor = std::sqrt(static_cast<double>(count));
    for (const float exponent : exponents) features.push_back(factor * std::exp(double{exponent}));
    return features;
  }
  /// Sines, then cosines.
  std::vector<double> trigonometric(const std::vector<float>& x) const {
    const Index count = directions(x);
    const auto dim = static_cast<Index>(x.size());
    const std::vector<double> row(x.begin(), x.end());
    std::vector<double> features(static_cast<std::size_t>(2 * count));
    Scratch scratch;
    scratch.worker_bytes = trigonometric_features_scratch_bytes(dim);
    SimpleRun run(scratch);
    trigonometric_features({row.data(), 1, dim}, {w_.data(), count, dim},
                           {features.data(), 1, 2 * count}, run.worker());
    const double factor =
        std::sqrt(static_cast<double>(count)) * std::exp(dot(x.data(), x.data(), dim) / 2);
    for (double& feature : features) feature *= factor;
    return features;
  }

 private:
  Index directions(const std::vector<float>& x) const {
    return static_cast<Index>(w_.size() / x.size());
  }
  std::vector<float> w_;
};

/// Mean over directions of the squared error of exp(x . y), as each direction alone estimates it.
double mean_squared_error(const std::vector<double>& x, const std::vector<double>& y,
                          std::size_t count, double exact) {
  double sum = 0;
  for (std::size_t f = 0; f < count; ++f) {
    double estimate = 0;
    for (std::size_t i = f; i < x.size(); i += count) estimate += x[i] * y[i];
    sum += (estimate - exact) * (estimate - exact);
  }
  return sum / static_cast<double>(count);
}

TEST(RandomFeatures, ErrorsAreThoseOfTheClosedForms) {
  // Choromanski et al. 2021, lemma 2, for one direction. At |x + y|^2 = 0.73 the fourth moment is
  // some 100 times the variance squared: 2 10^6 draws give the mean square to 0.7 %.
  const std::vector<float> x = {0.3f, -0.2f, 0.4f, 0.1f}, y = {0.1f, 0.3f, 0.2f, -0.35f};
  constexpr std::size_t kDraws = 1 << 14;
  constexpr int kTimes = 128;
  double sum_squares = 0, difference_squares = 0;
  for (std::size_t c = 0; c < 4; ++c) {
    sum_squares += (double{x[c]} + y[c]) * (double{x[c]} + y[c]);
    difference_squares += (double{x[c]} - y[c]) * (double{x[c]} - y[c]);
  }
  const double exact = std::exp(dot(x.data(), y.data(), 4));
  double positive = 0, hyperbolic = 0, trigonometric = 0;
  for (int time = 0; time < kTimes; ++time) {
    Generator random(7, static_cast<std::uint64_t>(time));
    std::vector<float> w(4 * kDraws);
    random.normals(w);
    const Maps maps(std::move(w));
    const auto error = [&](const std::vector<double>& a, const std::vector<double>& b) {
      return mean_squared_error(a, b, kDraws, exact) / kTimes;
    };
    positive += error(maps.positive(x, false), maps.positive(y, false));
    // Features of a pair are each over sqrt(2 directions).
    hyperbolic += error(maps.positive(x, true), maps.positive(y, true));
    trigonometric += error(maps.trigonometric(x), maps.trigonometric(y));
  }
  const double shrunk = 1 - std::exp(-sum_squares);
  const double expected = std::exp(sum_squares) * exact * exact * shrunk;
  EXPECT_NEAR(positive / expected, 1, 0.03);
  EXPECT_NEAR(hyperbolic / (shrunk / 2 * expected), 1, 0.03);
  const double turned = 1 - std::exp(-difference_squares);
  EXPECT_NEAR(trigonometric / (std::exp(sum_squares) / (exact * exact) * turned * turned / 2), 1,
              0.03);
}

TEST(RandomFeatures, TrigonometricOnesAreSinesAndCosines) {
  // Phases beyond 39000, too, in rows of any number; NaN stays in its row.
  for (const Index count : {1, 5, 64, 70}) {
    for (const Index rows : {1, 3, 7, 17}) {
      const Index dim = 3, stride = 2 * count + 5;
      const std::vector<float> w = directions(count, dim);
      std::vector<double> x(static_cast<std::size_t>(rows * dim));
      Generator random(5);
      for (double& value : x) value = random.normal();
      x[0] = 1e6;
      if (rows > 1) x[3] = std::numeric_limits<double>::quiet_NaN();
      std::vector<double> found(static_cast<std::size_t>(rows * stride), -7);
      Scratch scratch;
      scratch.worker_bytes = trigonometric_features_scratch_bytes(dim);
      SimpleRun run(scratch);
      trigonometric_features({x.data(), rows, dim}, {w.data(), count, dim},
                             {found.data(), rows, 2 * count, stride}, run.worker());
      for (Index i = 0; i < rows; ++i) {
        for (Index f = 0; f < count; ++f) {
          double phase = 0;
          for (Index c = 0; c < dim; ++c) phase += w[f * dim + c] * x[i * dim + c];
          const double factor = 1 / std::sqrt(static_cast<double>(count));
          const double sine = found[i * stride + f], cosine = found[i * stride + count + f];
          if (i == 1) {
            EXPECT_TRUE(std::isnan(sine) && std::isnan(cosine));
            continue;
          }
          // The phase has an absolute error of its rounding.
          const double tolerance = 1e-15 * std::max(4.0, std::abs(phase));
          EXPECT_NEAR(sine, factor * std::sin(phase), tolerance);
          EXPECT_NEAR(cosine, factor * std::cos(phase), tolerance);
        }
        for (Index c = 2 * count; c < stride; ++c) EXPECT_EQ(found[i * stride + c], -7);
      }
    }
  }
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
