#include "kernels/sinkhorn_balance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> normals(Index count, double std, std::uint64_t seed = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  Generator random(seed);
  random.normals(values, std);
  return values;
}

std::vector<float> balanced(std::vector<float> logits, Index rows, Index cols, Index iterations,
                            bool causal) {
  const SinkhornBalance balance{iterations, causal};
  SimpleRun run(balance.scratch(rows, cols));
  balance.run({logits.data(), rows, cols}, run);
  return logits;
}

/// By divisions, without logarithms.
std::vector<double> divided(const std::vector<float>& logits, Index n, Index iterations,
                            bool causal) {
  std::vector<double> r(logits.size());
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < (causal ? i : n); ++j) r[i * n + j] = std::exp(double{logits[i * n + j]});
  }
  const auto rows = [&] {
    for (Index i = 0; i < n; ++i) {
      double sum = 0;
      for (Index j = 0; j < n; ++j) sum += r[i * n + j];
      for (Index j = 0; j < n && sum > 0; ++j) r[i * n + j] /= sum;
    }
  };
  for (Index iteration = 0; iteration < iterations; ++iteration) {
    rows();
    for (Index j = 0; j < n; ++j) {
      std::vector<double> sums(static_cast<std::size_t>(n));
      for (Index i = 0; i < n; ++i) sums[i] = r[i * n + j] + (i > 0 ? sums[i - 1] : 0);
      for (Index i = 0; i < n; ++i) {
        const double sum = causal ? sums[i] : sums[n - 1];
        if (sum > 0) r[i * n + j] /= sum;
      }
    }
  }
  if (causal) rows();
  return r;
}

TEST(SinkhornBalance, RowsAndColumnsSumToOneAfterEnoughIterations) {
  for (const Index n : {1, 2, 17, 64, 130}) {
    for (const double std : {0.5, 2.0}) {
      const std::vector<float> r = balanced(normals(n * n, std), n, n, 60, false);
      for (Index i = 0; i < n; ++i) {
        double row = 0, column = 0;
        for (Index j = 0; j < n; ++j) {
          row += r[i * n + j];
          column += r[j * n + i];
        }
        EXPECT_NEAR(row, 1, 1e-3) << n;
        EXPECT_NEAR(column, 1, 1e-3) << n;
      }
    }
  }
}

TEST(SinkhornBalance, OneIterationIsNotEnough) {
  const std::vector<float> r = balanced(normals(64 * 64, 2), 64, 64, 1, false);
  double farthest = 0;
  for (Index i = 0; i < 64; ++i) {
    double row = -1;
    for (Index j = 0; j < 64; ++j) row += r[i * 64 + j];
    farthest = std::max(farthest, std::abs(row));
  }
  EXPECT_GT(farthest, 0.1);
}

TEST(SinkhornBalance, EqualsDivisionOfRowsAndColumns) {
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 2, 17, 67, 130}) {
      for (const Index iterations : {1, 3, 8}) {
        const std::vector<float> logits = normals(n * n, 2);
        const std::vector<float> r = balanced(logits, n, n, iterations, causal);
        const std::vector<double> expected = divided(logits, n, iterations, causal);
        // Logarithms below 20 have errors of 20 epsilon, and each pass adds one.
        const double tolerance =
            20 * static_cast<double>(2 * iterations + 2) * std::numeric_limits<float>::epsilon();
        for (std::size_t i = 0; i < r.size(); ++i) {
          ASSERT_NEAR(r[i], expected[i], tolerance) << n << ' ' << iterations << ' ' << causal;
        }
      }
    }
  }
}

TEST(SinkhornBalance, CausalRowsDependOnEarlierRowsAlone) {
  const Index n = 70;
  const std::vector<float> logits = normals(n * n, 1);
  const std::vector<float> expected = balanced(logits, n, n, 8, true);
  for (const Index row : {0, 1, 30, 65}) {
    std::vector<float> poisoned = logits;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        if (i > row || j >= i) poisoned[i * n + j] = kNan;
      }
    }
    const std::vector<float> r = balanced(poisoned, n, n, 8, true);
    for (Index i = 0; i <= row; ++i) {
      double sum = 0;
      for (Index j = 0; j < n; ++j) {
        EXPECT_EQ(r[i * n + j], expected[i * n + j]);
        sum += r[i * n + j];
        EXPECT_TRUE(j < i || r[i * n + j] == 0);
      }
      EXPECT_NEAR(sum, i > 0 ? 1 : 0, 1e-5);
    }
  }
}

TEST(SinkhornBalance, LargeLogitsStayFinite) {
  for (const bool causal : {false, true}) {
    for (const float value : balanced(normals(40 * 40, 1e4), 40, 40, 8, causal)) {
      EXPECT_TRUE(value >= 0 && value < 1.001f) << value;
    }
  }
}

}  // namespace
}  // namespace subquad
