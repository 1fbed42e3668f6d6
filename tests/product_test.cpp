#include "kernels/product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

/// A random matrix whose rows lie further apart than they are long; what lies between is NaN.
struct Strided {
  Strided(Index rows, Index cols, Index gap, std::uint64_t seed)
      : memory(static_cast<std::size_t>(rows * (cols + gap)),
               std::numeric_limits<float>::quiet_NaN()),
        view(memory.data(), rows, cols, cols + gap) {
    Generator random(seed);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) view(i, j) = static_cast<float>(random.normal());
    }
  }
  std::vector<float> memory;
  View view;
};

struct Case {
  Index m, n, k;
};

enum class Form { plain, right_transposed, left_transposed };

/// Largest distance of a product from the naive one in double, in units of epsilon times the sum of
/// the absolute values of the terms; every element of c must have been written, and nothing else.
double worst_error(Form form, Case size, float alpha, bool accumulate) {
  const auto [m, n, k] = size;
  const Strided a = form == Form::left_transposed ? Strided(k, m, 3, 1) : Strided(m, k, 3, 1);
  const Strided b = form == Form::right_transposed ? Strided(n, k, 5, 2) : Strided(k, n, 5, 2);
  Strided c(m, n, 2, 3);
  const Strided before = Strided(m, n, 2, 3);
  Scratch scratch;
  scratch.worker_bytes = product_scratch_bytes(m, n, k);
  SimpleRun run(scratch);
  const auto multiplication = form == Form::plain              ? multiply
                              : form == Form::right_transposed ? multiply_transposed
                                                               : multiply_left_transposed;
  multiplication(a.view, b.view, c.view, run.worker(), alpha, accumulate);
  EXPECT_GE(run.executed().multiply_adds, static_cast<double>(m * n * k));
  double worst = 0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double start = accumulate ? before.view(i, j) : 0;
      double sum = start, size = std::abs(start);
      for (Index p = 0; p < k; ++p) {
        const double left = form == Form::left_transposed ? a.view(p, i) : a.view(i, p);
        const double right = form == Form::right_transposed ? b.view(j, p) : b.view(p, j);
        sum += static_cast<double>(alpha) * left * right;
        size += std::abs(static_cast<double>(alpha) * left * right);
      }
      const double error = std::abs(c.view(i, j) - sum);
      EXPECT_TRUE(std::isfinite(error)) << i << ' ' << j;
      worst = std::max(worst, error / (std::numeric_limits<float>::epsilon() * size + 1e-30));
    }
    for (Index gap = n; gap < c.view.stride && i + 1 < m; ++gap) {
      EXPECT_TRUE(std::isnan(c.view(i, gap))) << "written between rows";
    }
  }
  return worst;
}

class Products : public testing::TestWithParam<Form> {};

TEST_P(Products, AgreeWithDoubleAtAllSmallSizes) {
  // A sum of k products, each term rounded at most k times: far below k epsilon of the sizes.
  for (Index m = 1; m <= 14; ++m) {
    for (const Index n : {1, 7, 15, 16, 17, 33, 63, 64, 65, 130}) {
      for (const Index k : {1, 2, 3, 5, 8, 31, 64}) {
        EXPECT_LE(worst_error(GetParam(), {m, n, k}, 1, false), 4.0)
            << m << " x " << n << " x " << k;
      }
    }
  }
}

TEST_P(Products, AgreeWithDoubleBeyondOnePanel) {
  for (const Case size : {Case{97, 200, 600}, Case{64, 64, 256}, Case{5, 70, 513}}) {
    EXPECT_LE(worst_error(GetParam(), size, 1, false), 4.0);
    EXPECT_LE(worst_error(GetParam(), size, -0.37f, true), 4.0);
    EXPECT_LE(worst_error(GetParam(), size, 2.5f, false), 4.0);
  }
}

TEST_P(Products, OfDepthZeroAreZero) {
  EXPECT_EQ(worst_error(GetParam(), {3, 20, 0}, 1, false), 0.0);
  EXPECT_EQ(worst_error(GetParam(), {3, 20, 0}, 1, true), 0.0);
}

INSTANTIATE_TEST_SUITE_P(AllForms, Products,
                         testing::Values(Form::plain, Form::right_transposed,
                                         Form::left_transposed));

}  // namespace
}  // namespace subquad
