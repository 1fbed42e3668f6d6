#include "kernels/pseudo_inverse.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

template <Index kRows>
void multiply_rows(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
                   Index row) {
  const Tag<double> d;
  double* const to = c.row(row);
  strip_product<kRows, false, double>(
      a.row(row), a.stride, b.data, b.stride, a.cols,
      round_up(c.cols, kLanes<double>) / kLanes<double>,
      [=, stride = c.stride](Index r, Index v, Vec<double> sum)
          HWY_ATTR { hn::StoreU(sum, d, to + r * stride + v * kLanes<double>); });
}

void product(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c) {
  Index row = 0;
  for (; row + kMicroRows <= c.rows; row += kMicroRows) multiply_rows<kMicroRows>(a, b, c, row);
  for (; row < c.rows; ++row) multiply_rows<1>(a, b, c, row);
}

}  // namespace
}  // namespace HWY_NAMESPACE

namespace {

/// Rows whose cosine is below it count as orthogonal: the rounding of an inner product of hundreds
/// of elements is a fifth of that.
constexpr double kOrthogonal = 1e-14;
/// A dozen sweeps do mostly; 33 were seen, with 256 rows and scores in the hundreds.
constexpr int kMostSweeps = 60;

/// b = factor * I - a.
void subtract_from_identity(double factor, MatrixView<const double> a, MatrixView<double> b) {
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) b(i, j) = -a(i, j);
    b(i, i) += factor;
  }
}

double dot(const double* a, const double* b, Index count) {
  double sums[8] = {};
  Index i = 0;
  for (; i + 8 <= count; i += 8) {
    for (Index lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sums[i % 8] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

void rotate(double* p, double* q, Index count, double cosine, double sine) {
  for (Index i = 0; i < count; ++i) {
    const double old = p[i];
    p[i] = cosine * old - sine * q[i];
    q[i] = sine * old + cosine * q[i];
  }
}

/// Rotates two rows of `a`, and of `rotations`, so that those of `a` are orthogonal. Returns
/// whether they were not yet. Which of two rows shorter than `negligible` is which does not matter.
bool orthogonalise_pair(MatrixView<double> a, MatrixView<double> rotations, Index p, Index q,
                        double negligible, Worker& worker) {
  const Index size = a.cols;
  double p_length = std::sqrt(dot(a.row(p), a.row(p), size));
  double q_length = std::sqrt(dot(a.row(q), a.row(q), size));
  if (p_length < q_length) {
    std::swap_ranges(a.row(p), a.row(p) + size, a.row(q));
    std::swap_ranges(rotations.row(p), rotations.row(p) + size, rotations.row(q));
    std::swap(p_length, q_length);
  }
  const double inner = dot(a.row(p), a.row(q), size);
  worker.executed.multiply_adds += static_cast<double>(3 * size);
  if (std::abs(inner) <= kOrthogonal * p_length * q_length) return false;
  if (p_length <= negligible) return false;
  const double ratio = (q_length - p_length) * (q_length + p_length) / (2 * inner);
  const double tangent = (ratio < 0 ? -1 : 1) / (std::abs(ratio) + std::sqrt(1 + ratio * ratio));
  const double cosine = 1 / std::sqrt(1 + tangent * tangent);
  rotate(a.row(p), a.row(q), size, cosine, cosine * tangent);
  rotate(rotations.row(p), rotations.row(q), size, cosine, cosine * tangent);
  worker.executed.multiply_adds += static_cast<double>(8 * size);
  return true;
}

/// Makes all rows of `a` orthogonal to one another, but for those that will count as 0 anyway:
/// `size` rows as short as that have no singular value above `kSmallest` times the largest, which
/// is at least the norm of `a` over the root of `size`.
void orthogonalise(MatrixView<double> a, MatrixView<double> rotations, Worker& worker) {
  double squares = 0;
  for (Index i = 0; i < a.rows; ++i) squares += dot(a.row(i), a.row(i), a.cols);
  const double negligible =
      PseudoInverse::kSmallest * std::sqrt(squares) / static_cast<double>(a.rows);
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < kMostSweeps; ++sweep) {
    rotated = false;
    for (Index p = 0; p < a.rows; ++p) {
      for (Index q = p + 1; q < a.rows; ++q) {
        rotated |= orthogonalise_pair(a, rotations, p, q, negligible, worker);
      }
    }
  }
}

}  // namespace

Index padded_columns(Index columns) {
  return HWY_NAMESPACE::round_up(columns, HWY_NAMESPACE::kLanes<double>);
}

void multiply_padded(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
                     Worker& worker) {
  HWY_STATIC_DISPATCH(product)(a, b, c);
  worker.executed.multiply_adds +=
      static_cast<double>(c.rows) * static_cast<double>(c.cols) * static_cast<double>(a.cols);
}

Index PseudoInverse::elements() const { return (steps > 0 ? 4 : 1) * size * padded_columns(size); }

double PseudoInverse::multiply_adds(Index columns) const {
  const double m = static_cast<double>(size), product = m * m * static_cast<double>(columns);
  if (steps > 0) return 4 * static_cast<double>(steps) * m * m * m + product;
  // Of each pair three inner products, and four multiply-adds for an element of either matrix.
  return kMostSweeps * m * (m - 1) / 2 * 11 * m + 2 * product;
}

void PseudoInverse::multiply(MatrixView<double> a, MatrixView<const double> b, MatrixView<double> c,
                             std::span<double> memory, Worker& worker) const {
  if (steps > 0) {
    iterate(a, b, c, memory.data(), worker);
  } else {
    by_singular_values(a, b, c, memory.data(), worker);
  }
}

void PseudoInverse::iterate(MatrixView<const double> a, MatrixView<const double> b,
                            MatrixView<double> c, double* memory, Worker& worker) const {
  const Index stride = padded_columns(size);
  const auto take = [&] {
    const MatrixView<double> matrix(memory, size, size, stride);
    memory += size * stride;
    return matrix;
  };
  MatrixView<double> z = take(), product = take(), next = take();
  const MatrixView<double> factor = take();
  double largest_row = 0, largest_column = 0;
  for (Index i = 0; i < size; ++i) {
    double row = 0, column = 0;
    for (Index j = 0; j < size; ++j) {
      row += std::abs(a(i, j));
      column += std::abs(a(j, i));
      z(i, j) = a(j, i);
    }
    largest_row = std::max(largest_row, row);
    largest_column = std::max(largest_column, column);
  }
  const auto scale = [&](MatrixView<double> matrix, double by) {
    for (Index i = 0; i < size; ++i) {
      for (Index j = 0; j < size; ++j) matrix(i, j) *= by;
    }
  };
  scale(z, 1 / (largest_row * largest_column));
  for (Index step = 0; step < steps; ++step) {
    multiply_padded(a, z, product, worker);
    subtract_from_identity(7, product, factor);
    multiply_padded(product, factor, next, worker);
    subtract_from_identity(15, next, factor);
    multiply_padded(product, factor, next, worker);
    subtract_from_identity(13, next, factor);
    multiply_padded(z, factor, next, worker);
    scale(next, 0.25);
    std::swap(z, next);
  }
  multiply_padded(z, b, c, worker);
}

/// Rotations R make the rows of M = R a orthogonal, so that a^+ = M^T diag(1 / |m_i|^2) R.
void PseudoInverse::by_singular_values(MatrixView<double> a, MatrixView<const double> b,
                                       MatrixView<double> c, double* memory, Worker& worker) const {
  const MatrixView<double> rotations(memory, size, size, padded_columns(size));
  for (Index i = 0; i < size; ++i) {
    std::fill_n(rotations.row(i), size, 0.0);
    rotations(i, i) = 1;
  }
  orthogonalise(a, rotations, worker);
  double largest = 0;
  for (Index i = 0; i < size; ++i) {
    largest = std::max(largest, std::sqrt(dot(a.row(i), a.row(i), size)));
  }
  for (Index i = 0; i < size; ++i) std::fill_n(c.row(i), c.cols, 0.0);
  for (Index i = 0; i < size; ++i) {
    const double squared = dot(a.row(i), a.row(i), size);
    if (std::sqrt(squared) <= kSmallest * largest) continue;
    for (Index column = 0; column < c.cols; ++column) {
      double coefficient = 0;
      for (Index j = 0; j < size; ++j) coefficient += rotations(i, j) * b(j, column);
      coefficient /= squared;
      for (Index j = 0; j < size; ++j) c(j, column) += a(i, j) * coefficient;
    }
  }
  worker.executed.multiply_adds += 2 * static_cast<double>(size * size * c.cols);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
