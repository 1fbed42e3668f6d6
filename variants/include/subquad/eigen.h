#pragma once

/// For variants that want Eigen inside: no Eigen type crosses the interface.

#include <Eigen/Core>

#include "subquad/view.h"

namespace subquad {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// An Eigen matrix over the view's memory.
template <class T>
auto as_eigen(MatrixView<T> view) {
  using Scalar = std::remove_const_t<T>;
  using Matrix = std::conditional_t<std::is_const_v<T>, const RowMajor<Scalar>, RowMajor<Scalar>>;
  return Eigen::Map<Matrix, 0, Eigen::OuterStride<>>(view.data, view.rows, view.cols,
                                                     Eigen::OuterStride<>(view.stride));
}

}  // namespace subquad
