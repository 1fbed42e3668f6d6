#include "kernels/pseudo_inverse.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

/// A matrix with the few operations that the tests need, by loops.
struct Matrix {
  Matrix(Index rows, Index cols) : rows(rows), cols(cols), values(rows * cols) {}
  static Matrix identity(Index size, double diagonal = 1) {
    Matrix result(size, size);
    for (Index i = 0; i < size; ++i) result(i, i) = diagonal;
    return result;
  }
  static Matrix random(Index rows, Index cols, std::uint64_t seed, double std = 1) {
    Matrix result(rows, cols);
    Generator generator(seed);
    for (double& value : result.values) value = std * generator.normal();
    return result;
  }

  double& operator()(Index i, Index j) { return values[i * cols + j]; }
  double operator()(Index i, Index j) const { return values[i * cols + j]; }
  Matrix transposed() const {
    Matrix result(cols, rows);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) result(j, i) = (*this)(i, j);
    }
    return result;
  }
  double norm() const {
    double squares = 0;
    for (const double value : values) squares += value * value;
    return std::sqrt(squares);
  }

  Index rows, cols;
  std::vector<double> values;
};

Matrix operator*(const Matrix& a, const Matrix& b) {
  Matrix result(a.rows, b.cols);
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < b.rows; ++j) {
      for (Index c = 0; c < b.cols; ++c) result(i, c) += a(i, j) * b(j, c);
    }
  }
  return result;
}

Matrix operator-(Matrix a, const Matrix& b) {
  for (std::size_t at = 0; at < a.values.size(); ++at) a.values[at] -= b.values[at];
  return a;
}

/// In rows of padded columns, in the way that the kernels take it.
class Padded {
 public:
  explicit Padded(const Matrix& from) : Padded(from.rows, from.cols) {
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < cols_; ++j) view()(i, j) = from(i, j);
    }
  }
  Padded(Index rows, Index cols)
      : rows_(rows), cols_(cols), values_(rows * padded_columns(cols), NAN) {}
  MatrixView<double> view() { return {values_.data(), rows_, cols_, padded_columns(cols_)}; }
  Matrix unpadded() {
    Matrix result(rows_, cols_);
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < cols_; ++j) result(i, j) = view()(i, j);
    }
    return result;
  }

 private:
  Index rows_, cols_;
  std::vector<double> values_;
};

/// a^+ b.
Matrix solved(const PseudoInverse& inverse, const Matrix& a, const Matrix& b,
              double* executed = nullptr) {
  Padded of_a(a), of_b(b), result(a.rows, b.cols);
  std::vector<double> memory(inverse.elements());
  SimpleRun run(Scratch{});
  inverse.multiply(of_a.view(), of_b.view(), result.view(), memory, run.worker());
  if (executed != nullptr) *executed = run.executed().multiply_adds;
  return result.unpadded();
}

Matrix pseudo_inverse(const Matrix& a) {
  return solved({.size = a.rows, .steps = 0}, a, Matrix::identity(a.rows));
}

TEST(PseudoInverse, MultipliesPaddedMatrices) {
  for (const auto& [m, k, n] :
       {std::array<Index, 3>{1, 1, 1}, {7, 3, 5}, {20, 64, 17}, {13, 9, 40}}) {
    const Matrix a = Matrix::random(m, k, 1), b = Matrix::random(k, n, 2);
    Padded of_a(a), of_b(b), result(m, n);
    SimpleRun run(Scratch{});
    multiply_padded(of_a.view(), of_b.view(), result.view(), run.worker());
    // Up to 64 products, below 20 each, to each of up to 520 elements.
    EXPECT_LT((result.unpadded() - a * b).norm(), std::sqrt(520) * 64 * 20 * 0x1p-52);
    EXPECT_EQ(run.executed().multiply_adds, static_cast<double>(m * k * n));
  }
}

TEST(PseudoInverse, OneStepIsThePolynomial) {
  // Of a number, z = 1 / a from the start; of diag(1, 1/2), z = diag(1, 1/2) and then, with x = a
  // z, z (13 - x (15 - x (7 - x))) / 4.
  Matrix a = Matrix::identity(2);
  a(1, 1) = 0.5;
  const Matrix z = solved({.size = 2, .steps = 1}, a, Matrix::identity(2));
  const double x = 0.25;
  EXPECT_NEAR(z(0, 0), 1, 1e-15);
  EXPECT_NEAR(z(1, 1), 0.5 * (13 - x * (15 - x * (7 - x))) / 4, 1e-15);
  EXPECT_EQ(z(0, 1), 0);
}

TEST(PseudoInverse, IterationConvergesToTheInverse) {
  for (const Index size : {1, 2, 13, 64}) {
    // Singular values between 1 and 3, or nearly so.
    Matrix a = Matrix::random(size, size, 3, 0.5 / std::sqrt(static_cast<double>(size)));
    for (Index i = 0; i < size; ++i) a(i, i) += 2;
    const Matrix b = Matrix::random(size, 5, 4);
    double executed = 0;
    const PseudoInverse inverse{.size = size, .steps = 10};
    const Matrix x = solved(inverse, a, b, &executed);
    EXPECT_LT((a * x - b).norm(), 1e-12 * b.norm()) << size;
    EXPECT_EQ(executed, inverse.multiply_adds(5));
  }
}

TEST(PseudoInverse, ExactOneIsMoorePenrose) {
  for (const auto& [size, rank] : {std::array<Index, 2>{1, 1}, {5, 5}, {17, 6}, {40, 40}}) {
    const Matrix a = Matrix::random(size, rank, 5) * Matrix::random(rank, size, 6);
    const Matrix inverse = pseudo_inverse(a);
    const double scale = a.norm() * a.norm() * inverse.norm() * inverse.norm();
    const double tolerance = 1e-14 * scale;
    EXPECT_LT((a * inverse * a - a).norm(), tolerance * a.norm());
    EXPECT_LT((inverse * a * inverse - inverse).norm(), tolerance * inverse.norm());
    EXPECT_LT((a * inverse - (a * inverse).transposed()).norm(), tolerance);
    EXPECT_LT((inverse * a - (inverse * a).transposed()).norm(), tolerance);
  }
  EXPECT_EQ(pseudo_inverse(Matrix(3, 3)).norm(), 0);
}

TEST(PseudoInverse, SmallSingularValuesCountAsZero) {
  Matrix a = Matrix::identity(3);
  a(1, 1) = 2 * PseudoInverse::kSmallest;
  a(2, 2) = PseudoInverse::kSmallest / 2;
  const Matrix inverse = pseudo_inverse(a);
  EXPECT_DOUBLE_EQ(inverse(1, 1), 1 / a(1, 1));
  EXPECT_EQ(inverse(2, 2), 0);
}

TEST(PseudoInverse, WorkOfTheExactOneIsBounded) {
  for (const Index size : {1, 10, 50}) {
    const PseudoInverse inverse{.size = size, .steps = 0};
    double executed = 0;
    solved(inverse, Matrix::random(size, size, 7), Matrix::random(size, 9, 8), &executed);
    EXPECT_LE(executed, inverse.multiply_adds(9));
  }
}

}  // namespace
}  // namespace subquad
