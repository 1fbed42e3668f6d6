#pragma once

/// What generators of inputs share.

#include <cmath>
#include <span>
#include <vector>

#include "subquad/random.h"
#include "subquad/view.h"

namespace subquad {

/// Independent N(0, std^2), row by row.
inline void fill_normal(Generator& random, View view, double std = 1) {
  for (Index i = 0; i < view.rows; ++i) {
    random.normals({view.row(i), static_cast<std::size_t>(view.cols)}, std);
  }
}

inline std::vector<double> normal_vector(Generator& random, Index count) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (double& value : out) value = random.normal();
  return out;
}

/// `rows` rows of `cols` standard normal numbers.
inline std::vector<double> normal_matrix(Generator& random, Index rows, Index cols) {
  return normal_vector(random, rows * cols);
}

/// Uniform on the unit sphere.
inline std::vector<double> unit_vector(Generator& random, Index dim) {
  std::vector<double> out = normal_vector(random, dim);
  double squares = 0;
  for (const double value : out) squares += value * value;
  for (double& value : out) value /= std::sqrt(squares);
  return out;
}

}  // namespace subquad
