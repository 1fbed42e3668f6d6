#pragma once

#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Numbers from one row to the next of a matrix whose columns are padded to whole vectors of
/// doubles; what the padding holds does not matter.
Index padded_columns(Index columns);

/// The pseudo-inverse of a small square matrix a times a matrix, in double, on one thread; both in
/// padded columns.
struct PseudoInverse {
  Index size;
  /// Of the iteration z <- z/4 (13 - a z (15 - a z (7 - a z))) from z = a^T / (|a|_1 |a|_infinity),
  /// each of which takes 1 - a z to about its third power (Razavi et al. 2014, as in
  /// arXiv:2102.03902). 0: by singular values (one-sided Jacobi rotations), of which
  /// those below `kSmallest` times the largest count as 0.
  Index steps;

  static constexpr double kSmallest = 1e-8;

  /// c = a^+ b, where b and c are [size, columns]. `memory` is as large as `elements` says; a may
  /// be overwritten.
  void multiply(MatrixView<double> a, MatrixView<const double> b, MatrixView<double> c,
                std::span<double> memory, Worker& worker) const;
  Index elements() const;
  /// Multiply-adds of a product with so many columns; at the most where exact.
  double multiply_adds(Index columns) const;

 private:
  void iterate(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
               double* memory, Worker& worker) const;
  void by_singular_values(MatrixView<double> a, MatrixView<const double> b, MatrixView<double> c,
                          double* memory, Worker& worker) const;
};

/// c [m, n] = a [m, k] b [k, n], in double; b and c in padded columns.
void multiply_padded(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
                     Worker& worker);

}  // namespace subquad
