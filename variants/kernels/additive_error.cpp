#include "kernels/additive_error.h"

#include <algorithm>
#include <type_traits>

#include "kernels/rowwise.h"

namespace subquad {
namespace {

/// Scores to weights of sum 1.
void softmax(Eigen::VectorXd& scores) {
  if (scores.size() == 0) return;
  scores = (scores.array() - scores.maxCoeff()).exp();
  scores /= scores.sum();
}

}  // namespace

template <class T>
struct AdditiveError::Parts {
  using Part = std::conditional_t<std::is_const_v<T>, const Matrix, Matrix>;
  Eigen::Map<Part> w, u, score;  ///< `score` [hidden, 1]

  Parts(const AdditiveError& error, std::span<T> all)
      : w(all.data(), error.hidden_, error.problem_.dim),
        u(all.data() + w.size(), error.hidden_, error.problem_.dim),
        score(all.data() + 2 * w.size(), error.hidden_, 1) {}
};

AdditiveError::AdditiveError(const Problem& problem, Index hidden, std::span<const Window> windows)
    : problem_(problem), hidden_(hidden) {
  double squares = 0;
  for (const Window& window : windows) {
    samples_.push_back({as_eigen(window.q).cast<double>(), as_eigen(window.k).cast<double>(),
                        as_eigen(window.v).cast<double>(), as_eigen(window.target).cast<double>()});
    squares += samples_.back().target.squaredNorm();
  }
  if (squares > 0) factor_ = 1 / squares;
}

double AdditiveError::operator()(std::span<const double> at, std::span<double> gradient) const {
  std::fill(gradient.begin(), gradient.end(), 0);
  const Parts<const double> parts(*this, at);
  Parts<double> to(*this, gradient);
  double error = 0;
  for (const Sample& sample : samples_) error += add(sample, parts, to);
  return error;
}

double AdditiveError::add(const Sample& sample, const Parts<const double>& at,
                          Parts<double>& to) const {
  const Matrix queries = sample.q * at.w.transpose(), keys = sample.k * at.u.transpose();
  Matrix d_queries = Matrix::Zero(queries.rows(), hidden_);
  Matrix d_keys = Matrix::Zero(keys.rows(), hidden_);
  double error = 0;
  for (Index i = 0; i < problem_.queries; ++i) {
    const Index seen = problem_.causal
                           ? std::clamp<Index>(problem_.position(i) + 1, 0, problem_.keys)
                           : problem_.keys;
    Matrix units = keys.topRows(seen).rowwise() + queries.row(i);
    tanh_in_place(std::span<double>(units.data(), static_cast<std::size_t>(units.size())));
    Eigen::VectorXd weights = units * at.score;
    softmax(weights);
    const auto values = sample.v.topRows(seen);
    const Eigen::RowVectorXd distance = weights.transpose() * values - sample.target.row(i);
    error += factor_ * distance.squaredNorm();

    const Eigen::VectorXd d_weights = values * (2 * factor_ * distance.transpose());
    const Eigen::VectorXd d_scores = weights.array() * (d_weights.array() - weights.dot(d_weights));
    to.score += units.transpose() * d_scores;
    const Matrix d_units = (d_scores * at.score.transpose()).array() * (1 - units.array().square());
    d_queries.row(i) = d_units.colwise().sum();
    d_keys.topRows(seen) += d_units;
  }
  to.w += d_queries.transpose() * sample.q;
  to.u += d_keys.transpose() * sample.k;
  return error;
}

}  // namespace subquad
