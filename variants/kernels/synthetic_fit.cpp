#include "kernels/synthetic_fit.h"

#include <Eigen/Cholesky>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/calibration.h"

namespace subquad {
namespace {

constexpr double kScorePenalties[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};

}  // namespace

RowMajor<double> log_mean_attention(const Problem& problem, std::span<const Window> windows) {
  constexpr double kLeast = std::numeric_limits<float>::min();
  return mean_attention(problem, windows).array().max(kLeast).log();
}

void centre_rows(const Problem& problem, RowMajor<double>& scores) {
  for (Index i = 0; i < scores.rows(); ++i) {
    double sum = 0, seen = 0;
    for (Index j = 0; j < scores.cols(); ++j) {
      if (!problem.sees(i, j)) continue;
      sum += scores(i, j);
      ++seen;
    }
    for (Index j = 0; j < scores.cols(); ++j) {
      scores(i, j) = problem.sees(i, j) ? scores(i, j) - sum / seen : 0;
    }
  }
}

RowMajor<double> centred_scores(const Problem& problem, const Window& window) {
  const RowMajor<double> q = as_eigen(window.q).cast<double>();
  const RowMajor<double> k = as_eigen(window.k).cast<double>();
  RowMajor<double> scores = problem.score_scale() * (q * k.transpose());
  centre_rows(problem, scores);
  return scores;
}

LowRankFactors nearest_factors(const RowMajor<double>& matrix, Index rank) {
  // The decomposition might not end.
  if (!matrix.allFinite()) throw Error("scores to be factorised are not all finite");
  const Eigen::BDCSVD<RowMajor<double>> svd(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Index kept = std::min<Index>(rank, svd.singularValues().size());
  const Eigen::VectorXd roots = svd.singularValues().head(kept).cwiseSqrt();
  LowRankFactors factors{RowMajor<double>::Zero(matrix.rows(), rank),
                         RowMajor<double>::Zero(matrix.cols(), rank)};
  factors.left.leftCols(kept) = svd.matrixU().leftCols(kept) * roots.asDiagonal();
  factors.right.leftCols(kept) = svd.matrixV().leftCols(kept) * roots.asDiagonal();
  return factors;
}

ScoreRidge::ScoreRidge(const Problem& problem, std::span<const Window> windows,
                       std::vector<RowMajor<double>> features)
    : problem_(problem), features_(std::move(features)) {
  for (const Window& window : windows) scores_.push_back(centred_scores(problem, window));
}

RowMajor<double> ScoreRidge::fit_without(std::size_t left_out, double relative_penalty) const {
  const Index inner = features_.front().cols();
  RowMajor<double> gram = RowMajor<double>::Zero(inner, inner);
  RowMajor<double> w = RowMajor<double>::Zero(problem_.keys, inner);
  double squares = 0;
  for (std::size_t t = 0; t < features_.size(); ++t) {
    if (t == left_out) continue;
    squares += features_[t].squaredNorm();
    w += scores_[t].transpose() * features_[t];
    if (!problem_.causal) gram += features_[t].transpose() * features_[t];
  }
  // Features that are 0 throughout leave w at 0.
  const double penalty = squares > 0 ? relative_penalty * squares / static_cast<double>(inner) : 1;
  gram.diagonal().array() += penalty;
  if (!problem_.causal) {
    w = gram.llt().solve(w.transpose()).transpose();
    return w;
  }
  // Key j is seen by query j and those after it.
  for (Index j = problem_.keys - 1; j >= 0; --j) {
    for (std::size_t t = 0; t < features_.size(); ++t) {
      if (t != left_out) gram += features_[t].row(j).transpose() * features_[t].row(j);
    }
    w.row(j) = gram.llt().solve(w.row(j).transpose()).transpose();
  }
  return w;
}

double ScoreRidge::squared_error(std::size_t window, const RowMajor<double>& w) const {
  const RowMajor<double> predicted = features_[window] * w.transpose();
  double sum = 0;
  for (Index i = 0; i < predicted.rows(); ++i) {
    for (Index j = 0; j < predicted.cols(); ++j) {
      if (!problem_.sees(i, j)) continue;
      const double error = predicted(i, j) - scores_[window](i, j);
      sum += error * error;
    }
  }
  return sum;
}

double ScoreRidge::output_error(std::span<const Window> windows, const RowMajor<double>& w) const {
  double sum = 0;
  for (std::size_t t = 0; t < windows.size(); ++t) {
    RowMajor<double> weights = features_[t] * w.transpose();
    softmax_rows(problem_, weights);
    sum += subquad::squared_error(weights, windows.subspan(t, 1), &Window::v);
  }
  return sum;
}

double ScoreRidge::relative_penalty() const {
  return best_penalty(features_.size(), kScorePenalties, kLoneWindow, [&](std::size_t left_out) {
    std::vector<double> errors;
    for (const double penalty : kScorePenalties) {
      errors.push_back(squared_error(left_out, fit_without(left_out, penalty)));
    }
    return errors;
  });
}

}  // namespace subquad
