#include "kernels/random_features.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "subquad/eigen.h"

namespace subquad {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> gaussian_row(Generator& random, std::size_t dim) {
  std::vector<double> row(dim);
  for (double& value : row) value = random.normal();
  return row;
}

void fill_orthogonal(Generator& random, const Shape& shape, std::span<float> directions) {
  const auto dim = static_cast<std::size_t>(shape.back().size);
  std::vector<std::vector<double>> block;
  for (std::size_t begin = 0; begin < directions.size(); begin += dim) {
    if (block.size() == dim) block.clear();
    std::vector<double> row = gaussian_row(random, dim);
    // Twice: what rounding leaves after the first time is taken off by the second.
    for (int time = 0; time < 2; ++time) {
      for (const std::vector<double>& other : block) {
        const double along = dot(row, other);
        for (std::size_t c = 0; c < dim; ++c) row[c] -= along * other[c];
      }
    }
    const double length = std::sqrt(dot(row, row));
    for (double& value : row) value /= length;
    block.push_back(row);
    // Lengths are drawn anew: those that are left of the rows above shrink along a block.
    const std::vector<double> drawn = gaussian_row(random, dim);
    const double wanted = std::sqrt(dot(drawn, drawn));
    for (std::size_t c = 0; c < dim; ++c) {
      directions[begin + c] = static_cast<float>(wanted * row[c]);
    }
  }
}

}  // namespace

Initialiser orthogonal_gaussians() {
  return init::custom(
      "orthogonal in blocks, each row with the length of a Gaussian one",
      std::function<void(Generator&, const Shape&, std::span<float>)>(fill_orthogonal));
}

std::size_t positive_features_scratch_bytes(Index rows, Index dim, Index features) {
  return product_scratch_bytes(rows, features, dim);
}

void positive_features(ConstView rows, ConstView directions, double root, View features,
                       std::span<float> logs, Worker& worker) {
  multiply_transposed(rows, directions, features, worker, static_cast<float>(root));
  const double log_count = std::log(static_cast<double>(directions.rows));
  for (Index i = 0; i < rows.rows; ++i) {
    const Eigen::Map<const Eigen::ArrayXf> x(rows.row(i), rows.cols);
    const double squares = x.cast<double>().square().sum();
    const std::span<float> row(features.row(i), static_cast<std::size_t>(features.cols));
    const float largest = max_of(row);
    exp_minus(row, largest);
    logs[i] = static_cast<float>(largest - (root * root * squares + log_count) / 2);
  }
  worker.executed.exponentials += static_cast<double>(rows.rows * features.cols);
}

}  // namespace subquad
