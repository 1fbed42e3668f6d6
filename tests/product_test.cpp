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
template <class T>
struct Strided {
  Strided(Index rows, Index cols, Index gap, std::uint64_t seed)
      : memory(static_cast<std::size_t>(rows * (cols + gap)), std::numeric_limits<T>::quiet_NaN()),
        view(memory.data(), rows, cols, cols + gap) {
    Generator random(seed);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) view(i, j) = static_cast<T>(random.normal());
    }
  }
  std::vector<T> memory;
  MatrixView<T> view;
};

struct Case {
  Index m, n, k;
};

enum class Form { plain, right_transposed, left_transposed };

template <class T>
void product_of(Form form, MatrixView<T> a, MatrixView<T> b, MatrixView<T> c, Worker& worker,
                T alpha, bool accumulate) {
  if (form == Form::plain) return multiply(a, b, c, worker, alpha, accumulate);
  if (form == Form::right_transposed) {
    return multiply_transposed(a, b, c, worker, alpha, accumulate);
  }
  multiply_left_transposed(a, b, c, worker, alpha, accumulate);
}

/// Largest distance of a product from the naive one in long double, in units of epsilon times the
/// sum of the absolute values of the terms; every element of c must have been written, and nothing
/// else.
template <class T>
double worst_error(Form form, Case size, T alpha, bool accumulate) {
  const auto [m, n, k] = size;
  const Strided<T> a =
      form == Form::left_transposed ? Strided<T>(k, m, 3, 1) : Strided<T>(m, k, 3, 1);
  const Strided<T> b =
      form == Form::right_transposed ? Strided<T>(n, k, 5, 2) : Strided<T>(k, n, 5, 2);
  Strided<T> c(m, n, 2, 3);
  const Strided<T> before = Strided<T>(m, n, 2, 3);
  Scratch scratch;
  scratch.worker_bytes = product_scratch_bytes<T>(m, n, k);
  SimpleRun run(scratch);
  product_of<T>(form, a.view, b.view, c.view, run.worker(), alpha, accumulate);
  EXPECT_GE(run.executed().multiply_adds, static_cast<double>(m * n * k));
  double worst = 0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      const long double start = accumulate ? before.view(i, j) : 0;
      long double sum = start, size = std::abs(start);
      for (Index p = 0; p < k; ++p) {
        const long double left = form == Form::left_transposed ? a.view(p, i) : a.view(i, p);
        const long double right = form == Form::right_transposed ? b.view(j, p) : b.view(p, j);
        sum += static_cast<long double>(alpha) * left * right;
        size += std::abs(static_cast<long double>(alpha) * left * right);
      }
      const auto error = static_cast<double>(std::abs(c.view(i, j) - sum));
      EXPECT_TRUE(std::isfinite(error)) << i << ' ' << j;
      worst = std::max(
          worst, error / (std::numeric_limits<T>::epsilon() * static_cast<double>(size) + 1e-30));
    }
    for (Index gap = n; gap < c.view.stride && i + 1 < m; ++gap) {
      EXPECT_TRUE(std::isnan(c.view(i, gap))) << "written between rows";
    }
  }
  return worst;
}

class Products : public testing::TestWithParam<Form> {
 protected:
  static void expect_close(Case size, float alpha, bool accumulate) {
    const auto [m, n, k] = size;
    EXPECT_LE(worst_error<float>(GetParam(), size, alpha, accumulate), 4.0)
        << m << " x " << n << " x " << k;
    EXPECT_LE(worst_error<double>(GetParam(), size, alpha, accumulate), 4.0)
        << m << " x " << n << " x " << k << " in double";
  }
};

TEST_P(Products, AgreeWithDoubleAtAllSmallSizes) {
  // A sum of k products, each term rounded at most k times: far below k epsilon of the sizes.
  for (Index m = 1; m <= 14; ++m) {
    for (const Index n : {1, 7, 15, 16, 17, 33, 63, 64, 65, 130}) {
      for (const Index k : {1, 2, 3, 5, 8, 31, 64}) {
        expect_close({m, n, k}, 1, false);
      }
    }
  }
}

TEST_P(Products, AgreeWithDoubleBeyondOnePanel) {
  for (const Case size : {Case{97, 200, 600}, Case{64, 64, 256}, Case{5, 70, 513}}) {
    expect_close(size, 1, false);
    expect_close(size, -0.37f, true);
    expect_close(size, 2.5f, false);
  }
}

TEST_P(Products, OfDepthZeroAreZero) {
  EXPECT_EQ(worst_error<float>(GetParam(), {3, 20, 0}, 1, false), 0.0);
  EXPECT_EQ(worst_error<float>(GetParam(), {3, 20, 0}, 1, true), 0.0);
}

TEST(PackedProduct, IsThatOfTheRowsAskedFor) {
  for (const Index k : {1, 31, 256, 300, 513}) {
    for (const Index n : {1, 20, 64, 65, 150}) {
      const Strided<float> a(13, k, 3, 1), b(n, k, 5, 2);
      std::vector<float> memory(packed_right_bytes(n, k) / sizeof(float));
      const PackedRight packed = pack_right(b.view, memory.data());
      for (const Index first : {Index{0}, n / 3, n / 2}) {
        const Index count = (n - first + 1) / 2;
        const Strided<float> c(13, count, 2, 3);
        SimpleRun run({});
        multiply_packed(a.view, packed, first, c.view, run.worker());
        EXPECT_GE(run.executed().multiply_adds, static_cast<double>(13 * count * k));
        for (Index i = 0; i < 13; ++i) {
          for (Index j = 0; j < count; ++j) {
            long double sum = 0, size = 0;
            for (Index p = 0; p < k; ++p) {
              const long double term =
                  static_cast<long double>(a.view(i, p)) * b.view(first + j, p);
              sum += term;
              size += std::abs(term);
            }
            // As of the other products.
            EXPECT_LE(std::abs(c.view(i, j) - sum),
                      4 * std::numeric_limits<float>::epsilon() * size)
                << k << ' ' << n << ' ' << first << ' ' << i << ' ' << j;
          }
        }
      }
    }
  }
}

TEST(PackedProduct, OfWholeGroupsOfRowsHasTheBitsOfItsParts) {
  const Index rows = 5 * kProductRows;
  const Strided<float> a(rows, 300, 3, 1), b(70, 300, 5, 2), whole(rows, 70, 2, 3);
  const Strided<float> parts(rows, 70, 2, 4);
  std::vector<float> memory(packed_right_bytes(70, 300) / sizeof(float));
  const PackedRight packed = pack_right(b.view, memory.data());
  SimpleRun run({});
  multiply_packed(a.view, packed, 0, whole.view, run.worker());
  // From any row on: a group has no place of its own.
  for (Index row = 0; row + kProductRows <= rows; row += 4) {
    multiply_packed(a.view.row_range(row, kProductRows), packed, 0,
                    parts.view.row_range(row, kProductRows), run.worker());
    for (Index i = row; i < row + kProductRows; ++i) {
      for (Index j = 0; j < 70; ++j) EXPECT_EQ(parts.view(i, j), whole.view(i, j));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllForms, Products,
                         testing::Values(Form::plain, Form::right_transposed,
                                         Form::left_transposed));

}  // namespace
}  // namespace subquad
