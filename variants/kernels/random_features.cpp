#include "kernels/random_features.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "hwy/contrib/math/math-inl.h"
#include "kernels/product-inl.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/sum_of_squares-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Where Highway's sine and cosine have all their digits.
constexpr double kLargestPhase = 39000;

/// panel[c * kPanelColumns + j] = directions(begin + j, c), zeros up to the next multiple of the
/// vector length.
void pack_panel(ConstView directions, Index begin, Index columns, double* panel) {
  const Index end = round_up(columns, kLanes<double>);
  for (Index c = 0; c < directions.cols; ++c) {
    double* const to = panel + c * kPanelColumns;
    for (Index j = 0; j < columns; ++j) to[j] = directions(begin + j, c);
    std::fill(to + columns, to + end, 0.0);
  }
}

/// kRows rows of products with a panel, to `phases`.
template <Index kRows>
void multiply_rows(const double* rows, Index stride, const double* panel, Index depth,
                   Index columns, double* phases, Index phase_stride) {
  strip_product<kRows, false>(rows, stride, panel, kPanelColumns, depth,
                              round_up(columns, kLanes<double>) / kLanes<double>,
                              [=](Index r, Index v, Vec<double> sum) HWY_ATTR {
                                const Index done = v * kLanes<double>;
                                store_first<double>(sum, std::min(columns - done, kLanes<double>),
                                                    phases + r * phase_stride + done);
                              });
}

/// Phases to their sines and cosines, times `factor`.
void take_sines(double* phases, Index count, double factor, double* cosines) {
  const Tag<double> d;
  const auto factors = hn::Set(d, factor);
  for (Index i = 0; i < count; i += kLanes<double>) {
    const Index left = std::min(count - i, kLanes<double>);
    const auto phase = load_first(phases + i, left, 0.0);
    if (hn::AllTrue(d, hn::Le(hn::Abs(phase), hn::Set(d, kLargestPhase)))) {
      store_first<double>(hn::Mul(factors, hn::Cos(d, phase)), left, cosines + i);
      store_first<double>(hn::Mul(factors, hn::Sin(d, phase)), left, phases + i);
      continue;
    }
    for (Index j = i; j < i + left; ++j) {
      cosines[j] = factor * std::cos(phases[j]);
      phases[j] = factor * std::sin(phases[j]);
    }
  }
}

void trigonometric(MatrixView<const double> rows, ConstView directions, MatrixView<double> features,
                   Worker& worker) {
  const std::size_t mark = worker.scratch.used();
  double* const panel = worker.scratch.take<double>(rows.cols * kPanelColumns).data();
  for (Index begin = 0; begin < directions.rows; begin += kPanelColumns) {
    const Index columns = std::min(kPanelColumns, directions.rows - begin);
    pack_panel(directions, begin, columns, panel);
    Index row = 0;
    const auto step = [&]<Index kRows>() HWY_ATTR {
      multiply_rows<kRows>(rows.row(row), rows.stride, panel, rows.cols, columns,
                           features.row(row) + begin, features.stride);
      row += kRows;
    };
    while (rows.rows - row >= kMicroRows) step.template operator()<kMicroRows>();
    if (rows.rows - row >= 4) step.template operator()<4>();
    if (rows.rows - row >= 2) step.template operator()<2>();
    if (row < rows.rows) step.template operator()<1>();
    worker.executed.multiply_adds +=
        static_cast<double>(rows.rows * rows.cols * round_up(columns, kLanes<double>));
  }
  worker.scratch.rewind(mark);
  const double factor = 1 / std::sqrt(static_cast<double>(directions.rows));
  for (Index i = 0; i < rows.rows; ++i) {
    double* const row = features.row(i);
    take_sines(row, directions.rows, factor, row + directions.rows);
  }
  worker.executed.exponentials += static_cast<double>(2 * rows.rows * directions.rows);
}

}  // namespace
}  // namespace HWY_NAMESPACE

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

using Fill = std::function<void(Generator&, const Shape&, std::span<float>)>;

/// Rows of length `length`; 0 stands for that of a Gaussian row, drawn for each.
void fill_orthogonal(Generator& random, const Shape& shape, double length,
                     std::span<float> directions) {
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
    const double left = std::sqrt(dot(row, row));
    for (double& value : row) value /= left;
    block.push_back(row);
    double wanted = length;
    if (length == 0) {
      // Lengths are drawn anew: those that are left of the rows above shrink along a block.
      const std::vector<double> drawn = gaussian_row(random, dim);
      wanted = std::sqrt(dot(drawn, drawn));
    }
    for (std::size_t c = 0; c < dim; ++c) {
      directions[begin + c] = static_cast<float>(wanted * row[c]);
    }
  }
}

}  // namespace

Initialiser orthogonal_gaussians() {
  return init::custom("orthogonal in blocks, each row with the length of a Gaussian one",
                      Fill([](Generator& random, const Shape& shape, std::span<float> directions) {
                        fill_orthogonal(random, shape, 0, directions);
                      }));
}

Initialiser orthogonal_of_one_length() {
  return init::custom("orthogonal in blocks, rows of length sqrt(columns)",
                      Fill([](Generator& random, const Shape& shape, std::span<float> directions) {
                        fill_orthogonal(random, shape,
                                        std::sqrt(static_cast<double>(shape.back().size)),
                                        directions);
                      }));
}

std::size_t positive_features_scratch_bytes(Index rows, Index dim, Index features) {
  return product_scratch_bytes(rows, features, dim);
}

void positive_features(ConstView rows, ConstView directions, double root, View features,
                       std::span<float> logs, Worker& worker) {
  multiply_transposed(rows, directions, features, worker, static_cast<float>(root));
  const double log_count = std::log(static_cast<double>(directions.rows));
  for (Index i = 0; i < rows.rows; ++i) {
    const double squares = sum_of_squares({rows.row(i), static_cast<std::size_t>(rows.cols)});
    const std::span<float> row(features.row(i), static_cast<std::size_t>(features.cols));
    const float largest = max_of(row);
    exp_minus(row, largest);
    logs[i] = static_cast<float>(largest - (root * root * squares + log_count) / 2);
  }
  worker.executed.exponentials += static_cast<double>(rows.rows * features.cols);
}

void positive_exponents(ConstView rows, ConstView directions, double root, View exponents,
                        Worker& worker) {
  const Index count = directions.rows;
  multiply_transposed(rows, directions, exponents.col_range(0, count), worker,
                      static_cast<float>(root));
  const double log_count = std::log(static_cast<double>(exponents.cols));
  for (Index i = 0; i < rows.rows; ++i) {
    const double squares = sum_of_squares({rows.row(i), static_cast<std::size_t>(rows.cols)});
    const float less = static_cast<float>((root * root * squares + log_count) / 2);
    float* const row = exponents.row(i);
    for (Index f = count; f < exponents.cols; ++f) row[f] = -row[f - count] - less;
    for (Index f = 0; f < count; ++f) row[f] -= less;
  }
}

std::size_t trigonometric_features_scratch_bytes(Index dim) {
  return Scratch().worker<double>(dim * HWY_NAMESPACE::kPanelColumns).worker_bytes;
}

void trigonometric_features(MatrixView<const double> rows, ConstView directions,
                            MatrixView<double> features, Worker& worker) {
  HWY_STATIC_DISPATCH(trigonometric)(rows, directions, features, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
