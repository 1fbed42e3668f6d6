#include "kernels/calibration.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace subquad {
namespace {

using Matrix = RowMajor<double>;

Matrix doubles(ConstView view) { return as_eigen(view).cast<double>(); }

/// Columns that a row is not to have.
void hide(const Problem& problem, Matrix& matrix, double with) {
  if (!problem.causal) return;
  for (Index i = 0; i < matrix.rows(); ++i) {
    const Index seen = std::clamp<Index>(problem.position(i) + 1, 0, matrix.cols());
    matrix.row(i).tail(matrix.cols() - seen).setConstant(with);
  }
}

Eigen::LLT<Matrix> factor(const Moments& moments, double penalty) {
  Matrix sum = moments.gram;
  sum.diagonal().array() += penalty * moments.mean_diagonal();
  Eigen::LLT<Matrix> factor(sum);
  if (factor.info() != Eigen::Success) {
    throw std::logic_error("calibration: a Gram matrix with its penalty is not positive definite");
  }
  return factor;
}

/// Those of `sandwich_ridge`.
class NormalEquations {
 public:
  NormalEquations(std::span<const Sandwich> windows, const Matrix& prior, double penalty)
      : windows_(windows), right_side_(Matrix::Zero(prior.rows(), prior.cols())) {
    Matrix left_sum = Matrix::Zero(prior.rows(), prior.rows());
    Matrix right_sum = Matrix::Zero(prior.cols(), prior.cols());
    double diagonal = 0;
    for (const Sandwich& window : windows) {
      grams_.push_back(window.left.transpose() * window.left);
      left_sum += grams_.back();
      right_sum.noalias() += window.right * window.right.transpose();
      diagonal += grams_.back().trace() * window.right.squaredNorm();
      right_side_ += window.left.transpose() * window.target * window.right.transpose();
    }
    ridge_ = penalty * diagonal / static_cast<double>(prior.size());
    right_side_ += ridge_ * prior;
    // As if each window had the mean of both Gram matrices: diagonal in their eigenvectors.
    left_.compute(left_sum);
    right_.compute(right_sum);
    inverse_ = (left_.eigenvalues() * right_.eigenvalues().transpose()).array() /
                   static_cast<double>(windows.size()) +
               ridge_;
    inverse_ = inverse_.cwiseInverse().eval();
  }

  /// Nothing but zeros was seen: nothing moves the prior.
  bool empty() const { return ridge_ == 0; }

  /// By conjugate gradients.
  Matrix solve(Matrix solution) const {
    constexpr double kResidual = 1e-10;
    const double enough = kResidual * right_side_.norm();
    Matrix residual = right_side_ - apply(solution);
    Matrix direction = precondition(residual), preconditioned = direction;
    double product = residual.cwiseProduct(preconditioned).sum();
    // Without rounding there are as many steps as unknowns at the most.
    for (Index step = 0; residual.norm() > enough && step < residual.size(); ++step) {
      const Matrix image = apply(direction);
      const double length = product / direction.cwiseProduct(image).sum();
      solution += length * direction;
      residual -= length * image;
      preconditioned = precondition(residual);
      const double next = residual.cwiseProduct(preconditioned).sum();
      direction = preconditioned + next / product * direction;
      product = next;
    }
    return solution;
  }

 private:
  Matrix apply(const Matrix& f) const {
    Matrix sum = ridge_ * f;
    for (std::size_t w = 0; w < windows_.size(); ++w) {
      sum.noalias() += (grams_[w] * (f * windows_[w].right)) * windows_[w].right.transpose();
    }
    return sum;
  }

  Matrix precondition(const Matrix& residual) const {
    const Matrix turned = left_.eigenvectors().transpose() * residual * right_.eigenvectors();
    return left_.eigenvectors() * turned.cwiseProduct(inverse_) * right_.eigenvectors().transpose();
  }

  std::span<const Sandwich> windows_;
  std::vector<Matrix> grams_;  ///< left^T left
  double ridge_ = 0;
  Matrix right_side_, inverse_;
  Eigen::SelfAdjointEigenSolver<Matrix> left_, right_;
};

}  // namespace

void softmax_rows(RowMajor<double>& scores) {
  for (Index i = 0; i < scores.rows(); ++i) {
    const double largest = scores.row(i).maxCoeff();
    // Eigen's own exponential of -infinity is not 0 but 1e-309.
    scores.row(i) =
        scores.row(i).unaryExpr([=](double score) { return std::exp(score - largest); });
    scores.row(i) /= scores.row(i).sum();
  }
}

void softmax_rows(const Problem& problem, RowMajor<double>& scores) {
  hide(problem, scores, -std::numeric_limits<double>::infinity());
  softmax_rows(scores);
}

RowMajor<double> mean_attention(const Problem& problem, std::span<const Window> windows) {
  Matrix mean = Matrix::Zero(problem.queries, problem.keys);
  for (const Window& window : windows) {
    Matrix scores = problem.score_scale() * (doubles(window.q) * doubles(window.k).transpose());
    softmax_rows(problem, scores);
    mean += scores / static_cast<double>(windows.size());
  }
  return mean;
}

double Moments::mean_diagonal() const { return gram.trace() / static_cast<double>(gram.rows()); }

Moments moments(const Problem& problem, std::span<const Window> windows, WindowInput input) {
  Moments sum{.gram = Matrix::Zero(problem.keys, problem.keys),
              .cross = Matrix::Zero(problem.queries, problem.keys)};
  for (const Window& window : windows) {
    const Matrix x = doubles(window.*input);
    sum.gram.noalias() += x * x.transpose();
    sum.cross.noalias() += doubles(window.target) * x.transpose();
  }
  return sum;
}

RowMajor<double> ridge(const Problem& problem, const Moments& moments,
                       const RowMajor<double>& prior, double penalty) {
  // Nothing but zeros was seen: nothing moves the prior.
  if (moments.mean_diagonal() == 0) return prior;
  const Eigen::LLT<Matrix> gram = factor(moments, penalty);
  // What the prior leaves, in normal equations one row of `change` each. A row that sees few keys
  // has a leading block of the Gram matrix, whose factor is the leading block of the factor: so
  // between the two substitutions, which run down and up, hidden elements are set to zero, and
  // that is all.
  Matrix change = moments.cross - prior * moments.gram;
  gram.matrixL().solveInPlace(change.transpose());
  hide(problem, change, 0);
  gram.matrixU().solveInPlace(change.transpose());
  return prior + change;
}

double squared_error(const RowMajor<double>& matrix, std::span<const Window> windows,
                     WindowInput input) {
  double sum = 0;
  for (const Window& window : windows) {
    sum += (matrix * doubles(window.*input) - doubles(window.target)).squaredNorm();
  }
  return sum;
}

double best_penalty(std::size_t windows, std::span<const double> penalties, double lone,
                    const std::function<std::vector<double>(std::size_t)>& errors) {
  if (windows == 1) return lone;
  std::vector<double> sums(penalties.size());
  for (std::size_t w = 0; w < windows; ++w) {
    const std::vector<double> of_window = errors(w);
    for (std::size_t p = 0; p < sums.size(); ++p) sums[p] += of_window[p];
  }
  return penalties[static_cast<std::size_t>(std::ranges::min_element(sums) - sums.begin())];
}

double best_penalty(std::span<const Window> windows, std::span<const double> penalties,
                    const LeftOutErrors& errors) {
  return best_penalty(windows.size(), penalties, penalties.back(), [&](std::size_t left_out) {
    std::vector<Window> others(windows.begin(), windows.end());
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
    return errors(others, windows[left_out]);
  });
}

ConstantFit ridge_about_mean_attention(const Problem& problem, std::span<const Window> windows,
                                       WindowInput input) {
  const auto errors = [&](std::span<const Window> others, const Window& left_out) {
    const Matrix prior = mean_attention(problem, others);
    const Moments sums = moments(problem, others, input);
    std::vector<double> result;
    for (const double penalty : kPenalties) {
      const Matrix matrix = ridge(problem, sums, prior, penalty);
      result.push_back(squared_error(matrix, {&left_out, 1}, input));
    }
    return result;
  };
  const double penalty = best_penalty(windows, kPenalties, errors);
  const Matrix prior = mean_attention(problem, windows);
  return {ridge(problem, moments(problem, windows, input), prior, penalty), penalty};
}

RowMajor<double> minimum_norm(const Problem& problem, std::span<const Window> windows,
                              WindowInput input) {
  Index columns = 0;
  for (const Window& window : windows) columns += (window.*input).cols;
  Eigen::MatrixXd x(problem.keys, columns), target(problem.queries, columns);
  Index begin = 0;
  for (const Window& window : windows) {
    const Index count = (window.*input).cols;
    x.middleCols(begin, count) = doubles(window.*input);
    target.middleCols(begin, count) = doubles(window.target);
    begin += count;
  }
  const Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd> decomposition(x.transpose());
  return decomposition.solve(target.transpose()).transpose();
}

Factors nearest_of_rank(const RowMajor<double>& matrix, const Moments& moments, double penalty,
                        Index rank) {
  const Index kept = std::min({rank, matrix.rows(), matrix.cols()});
  Factors factors{.left = Matrix::Zero(matrix.rows(), rank),
                  .right = Matrix::Zero(rank, matrix.cols())};
  if (moments.mean_diagonal() == 0) return factors;
  const Eigen::LLT<Matrix> gram = factor(moments, penalty);
  const Eigen::MatrixXd weighted = matrix * gram.matrixL();
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(weighted, Eigen::ComputeThinU | Eigen::ComputeThinV);
  factors.left.leftCols(kept) =
      svd.matrixU().leftCols(kept) * svd.singularValues().head(kept).asDiagonal();
  // right = V^T L^-1, that is L^T right^T = V.
  const Eigen::MatrixXd right = gram.matrixU().solve(svd.matrixV().leftCols(kept));
  factors.right.topRows(kept) = right.transpose();
  return factors;
}

RowMajor<double> sandwich_ridge(std::span<const Sandwich> windows, const RowMajor<double>& prior,
                                double penalty) {
  const NormalEquations equations(windows, prior, penalty);
  return equations.empty() ? prior : equations.solve(prior);
}

}  // namespace subquad
