#pragma once

// What the references of rank oracles have in common; no kernel uses it.

#include <Eigen/SVD>

#include "kernels/naive-inl.h"
#include "subquad/eigen.h"

namespace subquad {

/// The softmax matrix [queries, keys], pair by pair.
inline RowMajor<double> naive_softmax_matrix(const ReferenceCall& call) {
  RowMajor<double> matrix(call.problem.queries, call.problem.keys);
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j < matrix.cols(); ++j) matrix(i, j) = naive_score(call, i, j);
    naive_softmax({matrix.row(i).data(), static_cast<std::size_t>(matrix.cols())});
  }
  return matrix;
}

/// By a singular value decomposition, cut off after the `rank` largest singular values and those
/// that equal the last of them to 1e-6. By Jacobi's method: Eigen's divide and conquer (3.4)
/// returns wrong vectors where many singular values nearly coincide.
inline RowMajor<double> naive_best_rank(const RowMajor<double>& matrix, Index rank) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd& values = svd.singularValues();
  Index kept = std::min(rank, values.size());
  while (kept < values.size() && values(kept) >= values(kept - 1) * (1 - 1e-6)) ++kept;
  return svd.matrixU().leftCols(kept) * values.head(kept).asDiagonal() *
         svd.matrixV().leftCols(kept).transpose();
}

}  // namespace subquad
