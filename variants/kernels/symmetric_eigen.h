#pragma once

#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Eigenvalues of a symmetric matrix [n, n], in descending order, and their eigenvectors, which
/// replace the matrix: row i is that of values[i], of norm 1. The matrix's rows are contiguous
/// (stride n), and only its lower triangle is read. Where an element is not finite, all that comes
/// out is NaN.
///
/// Householder's reduction to three diagonals, then QL steps with implicit shifts (Golub and Van
/// Loan, "Matrix computations", 4th edition, sections 8.3.1 and 8.3.3). An eigenvalue is off by a
/// few n epsilon times the largest; so small eigenvalues have few digits or none. About 5 n^3
/// multiply-adds, on one thread, in `scratch` alone, which Eigen's solver would allocate.
void symmetric_eigen(MatrixView<double> matrix, std::span<double> values, Arena& scratch);

/// What `symmetric_eigen` takes of its arena.
std::size_t symmetric_eigen_scratch_bytes(Index n);

}  // namespace subquad
