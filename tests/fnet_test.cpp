#include <gtest/gtest.h>

#include <complex>
#include <numbers>

#include "support/variant_trial.h"

namespace subquad {
namespace {

/// Largest error over the largest output. Errors grow with the number of passes, which is
/// log2(n width); the largest of n x width outputs is about four of their standard deviations.
double tolerance(Index n, Index width) {
  return 4 * (std::log2(static_cast<double>(n * width)) + 1) *
         std::numeric_limits<float>::epsilon();
}

class FnetLengths : public testing::TestWithParam<Index> {};

TEST_P(FnetLengths, EqualsTheMatrixOfTheTransform) {
  for (const Index width : {1, 2, 7, 12}) {
    const Index n = GetParam();
    if (n > 1024 && width != 7) continue;  // the reference takes n^2 width
    const Problem problem = self_problem(n, width, width);
    EXPECT_LT(VariantTrial("fnet", problem).error(), tolerance(n, width)) << width;
    EXPECT_LT(VariantTrial("fnet", problem, 2, 1, 3).error(), tolerance(n, width)) << width;
  }
}

INSTANTIATE_TEST_SUITE_P(Fnet, FnetLengths, testing::Values(1, 2, 17, 96, 131, 1000, 1024, 4099));

/// Rows of the matrix of the transform over `length`, in double: element (s, t) is
/// exp(-2 pi i s t / length).
std::complex<double> root(Index s, Index t, Index length) {
  return std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(s * t % length) /
                             static_cast<double>(length));
}

/// `count` indices below `length`, its ends and its middle among them.
std::vector<Index> spread(Index length, Index count) {
  std::vector<Index> indices;
  for (Index i = 0; i < std::min(length, count); ++i) {
    indices.push_back(length <= count ? i : i * (length - 1) / (count - 1));
  }
  return indices;
}

/// Error in the mean square of a spread of outputs over their own mean square.
double sampled_error(VariantTrial& trial) {
  const Index n = trial.problem.queries, width = trial.problem.value_dim;
  const std::vector<float> out = trial.forward();
  double error = 0, norm = 0;
  for (const Index column : spread(width, 5)) {
    std::vector<std::complex<double>> hidden(static_cast<std::size_t>(n));
    std::vector<std::complex<double>> roots;
    for (Index h = 0; h < width; ++h) roots.push_back(root(column, h, width));
    for (Index t = 0; t < n; ++t) {
      for (Index h = 0; h < width; ++h) hidden[t] += double{trial.x(t, h)} * roots[h];
    }
    for (const Index s : spread(n, 25)) {
      std::complex<double> sum = 0;
      for (Index t = 0; t < n; ++t) sum += hidden[t] * root(s, t, n);
      error += std::pow(sum.real() - out[s * width + column], 2);
      norm += std::pow(sum.real(), 2);
    }
  }
  return std::sqrt(error / norm);
}

TEST(Fnet, EqualsTheProductWithBothMatricesOfTheTransform) {
  // A level of a transform takes each number through a product with a twiddle factor and a sum: two
  // products, their sum, the factor and the level's sum are five roundings of at most u / sqrt(3)
  // in the mean square, so less than epsilon = 2 u together, and those of different levels add up
  // as squares. (At the worst they are 6.7 u a level, and add up as they are: Higham, Accuracy and
  // Stability of Numerical Algorithms, 2nd edition, theorem 24.2.) Bluestein's goes through three
  // transforms, of its filter too, of up to four times the length.
  const auto levels = [](Index length) {
    const double own = std::log2(static_cast<double>(length));
    Index rest = length;
    for (const Index factor : {2, 3, 5}) {
      while (rest % factor == 0) rest /= factor;
    }
    return rest == 1 ? own : 3 * (own + 2);
  };
  for (const Index n : {1, 2, 17, 96, 1000, 1024, 4099}) {
    for (const Index width : {1, 17, 64, 768}) {
      VariantTrial trial("fnet", self_problem(n, width, width));
      const double error = sampled_error(trial) / std::numeric_limits<float>::epsilon();
      EXPECT_LE(error, std::sqrt(levels(n) + levels(width) + 1)) << n << " x " << width;
    }
  }
}

TEST(Fnet, OddWidths) {
  for (const Index width : {3, 5, 16, 17, 33, 96, 101}) {
    EXPECT_LT(VariantTrial("fnet", self_problem(31, width, width)).error(), tolerance(31, width))
        << width;
  }
}

TEST(Fnet, AConstantEndsUpInOneElement) {
  VariantTrial trial("fnet", self_problem(12, 10, 10));
  std::fill(trial.x.values.begin(), trial.x.values.end(), 2.0f);
  const std::vector<float> out = trial.forward();
  EXPECT_NEAR(out[0], 2 * 12 * 10, 1e-4);
  for (std::size_t i = 1; i < out.size(); ++i) EXPECT_NEAR(out[i], 0, 1e-4);
}

TEST(Fnet, APlaneWaveEndsUpInTwoElements) {
  // cos(a + b) with a along the sequence (frequency 3) and b over the width (frequency 2): half of
  // it at (3, 2), half at (-3, -2).
  VariantTrial trial("fnet", self_problem(15, 11, 11));
  for (Index t = 0; t < 15; ++t) {
    for (Index h = 0; h < 11; ++h) {
      trial.x(t, h) = static_cast<float>(
          std::cos(2 * std::numbers::pi *
                   (3 * static_cast<double>(t) / 15 + 2 * static_cast<double>(h) / 11)));
    }
  }
  const std::vector<float> out = trial.forward();
  for (Index t = 0; t < 15; ++t) {
    for (Index h = 0; h < 11; ++h) {
      const bool peak = (t == 3 && h == 2) || (t == 12 && h == 9);
      EXPECT_NEAR(out[t * 11 + h], peak ? 15 * 11 / 2.0 : 0, 1e-3) << t << " " << h;
    }
  }
}

TEST(Fnet, RefusesCausalAndCross) {
  const auto refusal = [](const Problem& problem) {
    return make_variant(parse_expression("fnet"), problem)->refuses(problem);
  };
  EXPECT_NE(refusal(self_problem(8, 4, 4, true)), "");
  EXPECT_NE(refusal({.queries = 4, .keys = 8, .dim = 4, .value_dim = 4}), "");
  EXPECT_EQ(refusal(self_problem(8, 4, 4)), "");
}

TEST(Fnet, RefusesAnInputOfAnotherWidth) {
  VariantTrial trial("fnet", self_problem(8, 4, 4));
  trial.x.cols = 3;
  EXPECT_THROW(trial.forward(), Error);
}

TEST(Fnet, DoesAtLeastTheUsefulWork) {
  for (const Index n : {1, 17, 96}) {
    for (const Index width : {1, 6, 7}) {
      VariantTrial trial("fnet", self_problem(n, width, width));
      trial.forward();
      EXPECT_GE(trial.executed.multiply_adds,
                trial.variant->cost(trial.problem).useful.multiply_adds * (1 - 1e-12));
    }
  }
}

}  // namespace
}  // namespace subquad
