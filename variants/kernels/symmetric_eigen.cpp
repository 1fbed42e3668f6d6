#include "kernels/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "subquad/eigen.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
/// QL steps for one eigenvalue; two are usual.
constexpr int kMaxSteps = 60;

using Vector = Eigen::Map<Eigen::VectorXd>;

Vector vector(double* data, Index size) { return {data, size}; }

class Solver {
 public:
  Solver(MatrixView<double> matrix, std::span<double> values, Arena& scratch)
      : rows_(matrix),
        diagonal_(values),
        beside_(scratch.take<double>(matrix.rows)),
        factors_(scratch.take<double>(matrix.rows)),
        spare_(scratch.take<double>(matrix.rows)) {}

  void run() {
    const Index n = rows_.rows;
    if (!finite()) return give_up();
    for (Index i = n - 1; i > 0; --i) reduce(i);
    for (Index i = 0; i < n; ++i) diagonal_[i] = rows_(i, i);
    for (Index i = 0; i < n; ++i) accumulate(i);
    for (Index i = 1; i < n; ++i) beside_[i - 1] = beside_[i];
    beside_[n - 1] = 0;
    for (Index l = 0; l < n; ++l) find_value(l);
    sort();
  }

 private:
  bool finite() const {
    for (Index i = 0; i < rows_.rows; ++i) {
      if (!vector(rows_.row(i), i + 1).allFinite()) return false;
    }
    return true;
  }

  /// Takes row i of the leading block [0, i] to (0, ..., 0, beside_[i], diagonal) by a reflection
  /// H = I - factor v v^T from both sides. v stays in the row, left of the diagonal.
  void reduce(Index i) {
    Vector v = vector(rows_.row(i), i);
    const double size = v.cwiseAbs().maxCoeff();
    factors_[i] = 0;
    beside_[i] = v[i - 1];
    if (i == 1 || size == 0) return;
    v /= size;  // squares must neither overflow nor vanish
    const double norm = std::sqrt(v.squaredNorm());
    const double image = v[i - 1] > 0 ? -norm : norm;
    beside_[i] = image * size;
    const double squared_half = norm * norm - v[i - 1] * image;
    v[i - 1] -= image;
    factors_[i] = 1 / squared_half;
    // B - v w^T - w v^T with w = p - (factor / 2) (p . v) v, p = factor B v.
    Vector w = vector(spare_.data(), i);
    multiply_block(i, v, w);
    w *= factors_[i];
    w -= factors_[i] / 2 * w.dot(v) * v;
    for (Index r = 0; r < i; ++r) {
      vector(rows_.row(r), r + 1) -= v[r] * w.head(r + 1) + w[r] * v.head(r + 1);
    }
  }

  /// w = B v for the leading block B of `size` rows, of which the lower triangle is there.
  void multiply_block(Index size, const Vector& v, Vector& w) const {
    for (Index r = 0; r < size; ++r) {
      const Vector row = vector(rows_.row(r), r);
      w[r] = row.dot(v.head(r)) + rows_(r, r) * v[r];
      w.head(r) += v[r] * row;
    }
  }

  /// Extends the product of the reflections before i, which has its place in the rows before i, by
  /// that of row i, and then by a row and column of the identity.
  void accumulate(Index i) {
    const Vector v = vector(rows_.row(i), i);
    for (Index r = 0; r < i; ++r) {
      Vector row = vector(rows_.row(r), i);
      row -= factors_[i] * row.dot(v) * v;
      rows_(r, i) = 0;
    }
    std::fill_n(rows_.row(i), i, 0.0);
    rows_(i, i) = 1;
  }

  /// QL steps until the l-th element beside the diagonal has vanished.
  void find_value(Index l) {
    for (int step = 0; step < kMaxSteps; ++step) {
      Index m = l;
      while (m + 1 < rows_.rows && !negligible(m)) ++m;
      if (m == l) return;
      ql_step(l, m);
    }
  }

  bool negligible(Index i) const {
    const double size = std::abs(diagonal_[i]) + std::abs(diagonal_[i + 1]);
    return std::abs(beside_[i]) <= kEpsilon * size;
  }

  /// One step on rows l ... m, shifted by the eigenvalue of the first two that is nearer to the
  /// first.
  void ql_step(Index l, Index m) {
    double g = (diagonal_[l + 1] - diagonal_[l]) / (2 * beside_[l]);
    g = diagonal_[m] - diagonal_[l] + beside_[l] / (g + std::copysign(std::hypot(g, 1), g));
    double sine = 1, cosine = 1, moved = 0;
    for (Index i = m - 1; i >= l; --i) {
      const double f = sine * beside_[i], b = cosine * beside_[i];
      const double r = std::hypot(f, g);
      beside_[i + 1] = r;
      if (r == 0) {  // the block falls apart here
        diagonal_[i + 1] -= moved;
        beside_[m] = 0;
        return;
      }
      sine = f / r;
      cosine = g / r;
      g = diagonal_[i + 1] - moved;
      const double t = (diagonal_[i] - g) * sine + 2 * cosine * b;
      moved = sine * t;
      diagonal_[i + 1] = g + moved;
      g = cosine * t - b;
      rotate(i, sine, cosine);
    }
    diagonal_[l] -= moved;
    beside_[l] = g;
    beside_[m] = 0;
  }

  /// Rows i and i + 1 of the eigenvectors.
  void rotate(Index i, double sine, double cosine) {
    double* const low = rows_.row(i);
    double* const high = rows_.row(i + 1);
    for (Index c = 0; c < rows_.cols; ++c) {
      const double other = high[c];
      high[c] = sine * low[c] + cosine * other;
      low[c] = cosine * low[c] - sine * other;
    }
  }

  void sort() {
    for (Index i = 0; i + 1 < rows_.rows; ++i) {
      const Index largest =
          std::max_element(diagonal_.begin() + i, diagonal_.end()) - diagonal_.begin();
      if (largest == i) continue;
      std::swap(diagonal_[i], diagonal_[largest]);
      std::swap_ranges(rows_.row(i), rows_.row(i) + rows_.cols, rows_.row(largest));
    }
  }

  void give_up() {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    std::fill(diagonal_.begin(), diagonal_.end(), kNaN);
    std::fill_n(rows_.data, rows_.rows * rows_.cols, kNaN);
  }

  MatrixView<double> rows_;
  std::span<double> diagonal_;  ///< at last the eigenvalues
  std::span<double> beside_;  ///< [i]: elements (i, i - 1) of the three diagonals, later (i + 1, i)
  std::span<double> factors_;  ///< of the reflections
  std::span<double> spare_;
};

}  // namespace

std::size_t symmetric_eigen_scratch_bytes(Index n) {
  return Scratch().shared<double>(n).shared<double>(n).shared<double>(n).shared_bytes;
}

void symmetric_eigen(MatrixView<double> matrix, std::span<double> values, Arena& scratch) {
  const std::size_t mark = scratch.used();
  Solver(matrix, values, scratch).run();
  scratch.rewind(mark);
}

}  // namespace subquad
