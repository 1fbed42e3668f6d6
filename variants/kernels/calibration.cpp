#include "kernels/calibration.h"

#include <limits>

namespace subquad {
namespace {

/// Softmax of each row over what the mask leaves.
void softmax_rows(const Problem& problem, RowMajor<double>& scores) {
  for (Index i = 0; i < scores.rows(); ++i) {
    for (Index j = 0; j < scores.cols(); ++j) {
      if (!problem.sees(i, j)) scores(i, j) = -std::numeric_limits<double>::infinity();
    }
    scores.row(i) = (scores.row(i).array() - scores.row(i).maxCoeff()).exp();
    scores.row(i) /= scores.row(i).sum();
  }
}

}  // namespace

RowMajor<double> mean_attention(const Problem& problem, std::span<const Window> windows) {
  RowMajor<double> mean = RowMajor<double>::Zero(problem.queries, problem.keys);
  for (const Window& window : windows) {
    const RowMajor<double> q = as_eigen(window.q).cast<double>();
    const RowMajor<double> k = as_eigen(window.k).cast<double>();
    RowMajor<double> scores = problem.score_scale() * (q * k.transpose());
    softmax_rows(problem, scores);
    mean += scores / static_cast<double>(windows.size());
  }
  return mean;
}

}  // namespace subquad
