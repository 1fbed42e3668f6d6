#include "kernels/symmetric_eigen.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "subquad/eigen.h"
#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

struct Decomposition {
  RowMajor<double> vectors;  ///< rows
  std::vector<double> values;

  explicit Decomposition(const RowMajor<double>& matrix)
      : vectors(matrix), values(static_cast<std::size_t>(matrix.rows())) {
    // What lies above the diagonal is not to be read.
    for (Index i = 0; i < vectors.rows(); ++i) {
      for (Index j = i + 1; j < vectors.cols(); ++j) vectors(i, j) = NAN;
    }
    Scratch scratch;
    scratch.shared_bytes = symmetric_eigen_scratch_bytes(matrix.rows());
    SimpleRun run(scratch);
    symmetric_eigen({vectors.data(), vectors.rows(), vectors.cols()}, values, run.shared());
    EXPECT_EQ(run.shared().high_water(), scratch.shared_bytes);
    EXPECT_EQ(run.shared().used(), 0u);
  }
};

/// Vectors are orthonormal and, with the values, give the matrix back: there is no other
/// decomposition. Backward stable: each to some n epsilon of the matrix's size.
void expect_decomposes(const RowMajor<double>& matrix, const std::string& what) {
  const Decomposition found(matrix);
  const Index n = matrix.rows();
  const double size = matrix.norm(), tolerance = 4 * static_cast<double>(n) * kEpsilon;
  const Eigen::Map<const Eigen::VectorXd> values(found.values.data(), n);
  EXPECT_TRUE(std::is_sorted(found.values.rbegin(), found.values.rend())) << what;
  const RowMajor<double> gram = found.vectors.lazyProduct(found.vectors.transpose());
  EXPECT_LE((gram - RowMajor<double>::Identity(n, n)).norm(), tolerance) << what;
  const RowMajor<double> scaled = values.asDiagonal() * found.vectors;
  const RowMajor<double> back = found.vectors.transpose().lazyProduct(scaled);
  EXPECT_LE((back - matrix).norm(), tolerance * size) << what;
}

RowMajor<double> random_matrix(Index rows, Index cols, std::uint64_t seed) {
  Generator random(seed);
  RowMajor<double> matrix(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) matrix(i, j) = random.normal();
  }
  return matrix;
}

TEST(SymmetricEigen, DecomposesRandomMatrices) {
  for (const Index n : {1, 2, 3, 4, 5, 17, 64, 131, 300}) {
    const RowMajor<double> a = random_matrix(n, n, 1);
    expect_decomposes(a + a.transpose(), std::to_string(n));
  }
}

TEST(SymmetricEigen, DecomposesWhatHasManyEqualValues) {
  for (const Index n : {2, 40, 131}) {
    expect_decomposes(RowMajor<double>::Zero(n, n), "zero");
    expect_decomposes(RowMajor<double>::Identity(n, n), "identity");
    expect_decomposes(RowMajor<double>::Ones(n, n), "ones");
    const RowMajor<double> low = random_matrix(n, 3, 2);
    expect_decomposes(low.lazyProduct(low.transpose()), "rank 3");
    RowMajor<double> counts = RowMajor<double>::Zero(n, n);
    for (Index i = 0; i < n; ++i) counts(i, i) = static_cast<double>(i % 3);
    expect_decomposes(counts, "diagonal");
  }
}

TEST(SymmetricEigen, ValuesOfVeryUnlikeSizes) {
  for (const double factor : {1e-170, 1e-20, 1e20, 1e150}) {
    const RowMajor<double> a = random_matrix(50, 50, 3);
    expect_decomposes(factor * (a + a.transpose()), "scaled");
  }
  RowMajor<double> a = random_matrix(60, 60, 4);
  for (Index i = 0; i < 60; ++i) a.row(i) *= std::pow(10.0, -static_cast<double>(i) / 2);
  expect_decomposes(a.lazyProduct(a.transpose()), "graded");
}

TEST(SymmetricEigen, OfTheSecondDifferenceIsKnown) {
  // 2 - 2 cos(pi k / (n + 1)), k = 1 ... n.
  constexpr Index kSize = 100;
  RowMajor<double> a = RowMajor<double>::Zero(kSize, kSize);
  for (Index i = 0; i < kSize; ++i) a(i, i) = 2;
  for (Index i = 1; i < kSize; ++i) a(i, i - 1) = a(i - 1, i) = -1;
  const Decomposition found(a);
  for (Index k = 0; k < kSize; ++k) {
    const double angle = std::numbers::pi * static_cast<double>(kSize - k) / (kSize + 1);
    EXPECT_NEAR(found.values[k], 2 - 2 * std::cos(angle), 4 * kSize * kEpsilon);
  }
}

TEST(SymmetricEigen, NotANumberComesOutAsThat) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    RowMajor<double> a = RowMajor<double>::Identity(30, 30);
    a(20, 7) = bad;
    const Decomposition found(a);
    for (const double value : found.values) EXPECT_TRUE(std::isnan(value));
    EXPECT_TRUE(found.vectors.array().isNaN().all());
  }
}

}  // namespace
}  // namespace subquad
