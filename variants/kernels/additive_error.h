#pragma once

#include <span>
#include <vector>

#include "subquad/eigen.h"
#include "subquad/variant.h"

namespace subquad {

/// What fitting additive attention lowers: the squared distance of
///
///   softmax(v^T tanh(W q + U k)) V
///
/// from the windows' targets, over the squares of the targets themselves, with its gradient by W
/// [hidden, dim], U [hidden, dim] and v [hidden], which follow one another in `at`. An Objective
/// (descent.h), in double; queries x keys x (hidden + value_dim) work per window.
class AdditiveError {
 public:
  /// Copies the windows, each of `problem`'s shape.
  AdditiveError(const Problem& problem, Index hidden, std::span<const Window> windows);

  double operator()(std::span<const double> at, std::span<double> gradient) const;

 private:
  using Matrix = RowMajor<double>;
  struct Sample {
    Matrix q, k, v, target;
  };
  template <class T>
  struct Parts;

  /// The error of one sample; its gradient is added to `to`.
  double add(const Sample& sample, const Parts<const double>& at, Parts<double>& to) const;

  Problem problem_;
  Index hidden_;
  std::vector<Sample> samples_;
  double factor_ = 1;  ///< 1 / the squares of all targets
};

}  // namespace subquad
