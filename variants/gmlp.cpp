// gmlp: a spatial gating unit: one half of the channels, mixed along the sequence by a learned
// matrix, multiplies the other. Liu et al. 2021, "Pay attention to MLPs" (arXiv:2105.08050),
// section 2.1, equations 2 and 3.
//
//   s(Z) = Z1 * (W LN(Z2) + b),   W in R^(n x n), b in R^n
//   out_i = q_i * (sum_j W_ij LN(v_j) + b_i)
//
// with * element by element, so d = e, and LN the layer norm of a row, with a learned gain and
// shift. Time O(n^2 d), no softmax, NOT sub-quadratic; memory O(n d). Causal: W is lower
// triangular.
//
// Different from the paper: its Z1 and Z2 are the two halves of one projection of the layer's
// input, after a GELU; q and v are two projections of it, which is the same without the GELU. Each
// head has its W, b, gain and shift, and norms its own columns. W starts near 0, uniform within
// 0.001 / n, and b at 1, so that at first the queries pass: the paper gives no numbers, these are
// lucidrains/g-mlp-pytorch's. n is the longest sequence of the model, so W belongs to one length.
//
// `calibrate`: given q and LN(v), the output is linear in W and b, row by row. So each row is the
// ridge regression of the windows' dense output, in which b goes free. The penalty, a fraction of
// the mean diagonal of a row's normal matrix, is the one of a short list whose rows, fitted to all
// windows but one, miss that one least, summed over windows and at most 16 rows; with a single
// window it is fixed. O(n^3) for each row, so n^4 in all: for lengths up to some hundred.

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <Eigen/Cholesky>

#include "kernels/product.h"
#include "kernels/triangular.h"
#include "subquad/eigen.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Rows of one product.
constexpr Index kRows = 64;
/// Added to the variance of a row.
constexpr double kEpsilon = 1e-5;
/// W to begin with, times n.
constexpr double kNearZero = 1e-3;

/// Penalties to choose from, and the one where there is nothing to choose by.
constexpr std::array kPenalties = {1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0};
constexpr double kPenalty = 1e-2;
/// Rows that choose.
constexpr Index kChoosing = 16;

/// Layer norm of a row.
template <class T>
void layer_norm(const T* row, ConstView gain, ConstView shift, T* to) {
  const Index dim = gain.cols;
  double mean = 0, variance = 0;
  for (Index c = 0; c < dim; ++c) mean += row[c];
  mean /= static_cast<double>(dim);
  for (Index c = 0; c < dim; ++c) variance += (row[c] - mean) * (row[c] - mean);
  const double factor = 1 / std::sqrt(variance / static_cast<double>(dim) + kEpsilon);
  for (Index c = 0; c < dim; ++c) {
    to[c] = static_cast<T>((row[c] - mean) * factor * gain(0, c) + shift(0, c));
  }
}

/// Normal equations of one row of [W, b]: least squares of `target` over `features`.
struct Equations {
  Eigen::MatrixXd matrix;
  Eigen::VectorXd right;
  double squares = 0;  ///< of the target

  explicit Equations(Index unknowns)
      : matrix(Eigen::MatrixXd::Zero(unknowns, unknowns)), right(Eigen::VectorXd::Zero(unknowns)) {}

  void add(const Eigen::MatrixXd& features, const Eigen::VectorXd& target) {
    matrix.selfadjointView<Eigen::Lower>().rankUpdate(features.transpose());
    right += features.transpose() * target;
    squares += target.squaredNorm();
  }
  void add(const Equations& other, double sign) {
    matrix += sign * other.matrix;
    right += sign * other.right;
    squares += sign * other.squares;
  }
  /// The minimum of error(x) + penalty * mean diagonal * |x without b|^2.
  Eigen::VectorXd solve(double penalty) const {
    const Index weights = right.size() - 1;
    Eigen::MatrixXd shifted = matrix;
    const double mean = matrix.diagonal().head(weights).mean();
    shifted.diagonal().head(weights).array() += penalty * mean;
    return shifted.selfadjointView<Eigen::Lower>().ldlt().solve(right);
  }
  double error(const Eigen::VectorXd& x) const {
    return x.dot(matrix.selfadjointView<Eigen::Lower>() * x) - 2 * x.dot(right) + squares;
  }
};

/// Fits W and b to windows.
class Fit {
 public:
  Fit(const Problem& problem, std::span<const Window> windows, const Tensors& tensors)
      : problem_(problem), windows_(windows) {
    const ConstView gain = tensors.matrix("gain"), shift = tensors.matrix("shift");
    for (const Window& window : windows) {
      RowMajor<double> rows = as_eigen(window.v).cast<double>();
      for (Index j = 0; j < rows.rows(); ++j) {
        layer_norm(&rows(j, 0), gain, shift, &rows(j, 0));
      }
      normed_.push_back(std::move(rows));
    }
  }

  void write(View w, View b) const {
    const double penalty = choose_penalty();
    for (Index i = 0; i < problem_.queries; ++i) {
      Equations all(unknowns(i));
      for (std::size_t window = 0; window < windows_.size(); ++window) add(i, window, all);
      if (all.matrix.diagonal().isZero(0)) continue;  // the row's queries are 0: nothing to fit
      const Eigen::VectorXd row = all.solve(penalty);
      std::fill_n(w.row(i), w.cols, 0.0f);
      for (Index j = 0; j + 1 < row.size(); ++j) w(i, j) = static_cast<float>(row[j]);
      b.data[i] = static_cast<float>(row[row.size() - 1]);
    }
  }

 private:
  /// Keys that row i sees, and b.
  Index unknowns(Index i) const { return (problem_.causal ? i + 1 : problem_.keys) + 1; }

  void add(Index i, std::size_t window, Equations& equations) const {
    const Index seen = unknowns(i) - 1;
    const Eigen::VectorXd q = as_eigen(windows_[window].q).row(i).cast<double>();
    Eigen::MatrixXd features(q.size(), seen + 1);
    features.leftCols(seen) = q.asDiagonal() * normed_[window].topRows(seen).transpose();
    features.col(seen) = q;
    equations.add(features, as_eigen(windows_[window].target).row(i).cast<double>());
  }

  double choose_penalty() const {
    if (windows_.size() < 2) return kPenalty;
    std::array<double, kPenalties.size()> missed{};
    const Index rows = std::min(kChoosing, problem_.queries);
    for (Index row = 0; row < rows; ++row) {
      add_missed((row + 1) * problem_.queries / rows - 1, missed);
    }
    const auto least = std::min_element(missed.begin(), missed.end());
    return kPenalties[static_cast<std::size_t>(least - missed.begin())];
  }

  /// Adds, for each penalty, how far row i is off on windows that it was not fitted to.
  void add_missed(Index i, std::array<double, kPenalties.size()>& missed) const {
    std::vector<Equations> single(windows_.size(), Equations(unknowns(i)));
    Equations all(unknowns(i));
    for (std::size_t window = 0; window < windows_.size(); ++window) {
      add(i, window, single[window]);
      all.add(single[window], 1);
    }
    for (const Equations& left_out : single) {
      Equations others = all;
      others.add(left_out, -1);
      if (others.matrix.diagonal().isZero(0)) continue;
      for (std::size_t p = 0; p < kPenalties.size(); ++p) {
        missed[p] += left_out.error(others.solve(kPenalties[p]));
      }
    }
  }

  const Problem& problem_;
  std::span<const Window> windows_;
  std::vector<RowMajor<double>> normed_;  ///< LN(v) of each window
};

class Gmlp final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = true, .k = false, .v = true}; }
  std::string refuses(const Problem& problem) const override {
    if (problem.dim != problem.value_dim) {
      return "queries gate values channel by channel, so dim must be value_dim";
    }
    if (problem.self_attention()) return {};
    return "row i of W belongs to token i, so queries must be the keys";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent queries{"queries", problem.queries}, dim{"dim", problem.dim};
    const double near_zero = kNearZero / static_cast<double>(problem.keys);
    const auto fitting = [] {
      return fit::closed_form(
          "ridge regression of the dense output, row by row, the rest as drawn");
    };
    visit("w", {queries, {"keys", problem.keys}}, init::uniform(-near_zero, near_zero),
          Role::learned, Sharing::head, "mixes values along the sequence", fitting());
    visit("b", {queries}, init::constant(1), Role::learned, Sharing::head,
          "added to the mixed values of a token", fitting());
    visit("gain", {dim}, init::constant(1), Role::learned, Sharing::head, "of the layer norm");
    visit("shift", {dim}, init::zeros(), Role::learned, Sharing::head, "of the layer norm");
  }

  Scratch scratch(const Problem& p) const override {
    const Index rows = std::min(kRows, p.queries);
    std::size_t product = 0;
    if (p.causal) {
      // The last tile may have few rows, the one before it sees fewer keys.
      for (const Index begin :
           {(p.queries - 1) / rows * rows, (p.queries - 1) / rows * rows - rows}) {
        if (begin < 0) continue;
        const Index count = std::min(rows, p.queries - begin);
        product = std::max(product,
                           multiply_lower_scratch_bytes(count, p.value_dim, begin + count, begin));
      }
    } else {
      product = product_scratch_bytes(rows, p.value_dim, p.keys);
    }
    return Scratch()
        .shared<float>(p.keys * p.value_dim)
        .worker<std::byte>(static_cast<Index>(product));
  }

  Cost cost(const Problem& p) const override {
    const double n = static_cast<double>(p.queries), d = static_cast<double>(p.value_dim);
    const double pairs = p.pairs();
    return {.useful = {.multiply_adds = pairs * d + n * d},
            .bytes = sizeof(float) * (3 * n * d + pairs + n + 2 * d)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const View normed = call.run.shared().take_matrix(problem.keys, problem.value_dim);
    const ConstView gain = call.tensors.matrix("gain"), shift = call.tensors.matrix("shift");
    const Index tiles = (problem.queries + kRows - 1) / kRows;
    call.run.parallel(tiles, [&](Index tile, Worker&) {
      const Index end = std::min((tile + 1) * kRows, problem.keys);
      for (Index j = tile * kRows; j < end; ++j) {
        layer_norm(call.v.row(j), gain, shift, normed.row(j));
      }
    });
    call.run.parallel(tiles, [&](Index tile, Worker& worker) {
      const Index begin = tile * kRows, count = std::min(kRows, problem.queries - begin);
      mix(call, normed, begin, count, worker);
      gate(call, begin, count, worker);
    });
  }

  void reference(const ReferenceCall& call) const override {
    const ConstView w = call.tensors.matrix("w"), b = call.tensors.matrix("b");
    const std::vector<double> normed = naive_layer_norm(call);
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        double sum = b.data[i];
        for (Index j = 0; j < call.v.rows; ++j) {
          if (call.problem.sees(i, j)) sum += double{w(i, j)} * normed[j * call.v.cols + c];
        }
        call.out(i, c) = call.q(i, c) * sum;
      }
    }
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    Fit(problem, windows, tensors).write(tensors.writable("w"), tensors.writable("b"));
  }

 private:
  /// out = W LN(v), rows begin ... begin + count - 1.
  static void mix(const Call& call, ConstView normed, Index begin, Index count, Worker& worker) {
    const ConstView w = call.tensors.matrix("w").row_range(begin, count);
    const View out = call.out.row_range(begin, count);
    if (call.problem.causal) {
      const Index keys = begin + count;
      multiply_lower(w.col_range(0, keys), normed.row_range(0, keys), out, begin, worker);
    } else {
      multiply(w, normed, out, worker);
    }
  }

  /// out = q * (out + b).
  static void gate(const Call& call, Index begin, Index count, Worker& worker) {
    const float* const b = call.tensors.matrix("b").data;
    for (Index i = begin; i < begin + count; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = call.q(i, c) * (call.out(i, c) + b[i]);
      }
    }
    worker.executed.multiply_adds += static_cast<double>(count * call.out.cols);
  }

  static std::vector<double> naive_layer_norm(const ReferenceCall& call) {
    const ConstView gain = call.tensors.matrix("gain"), shift = call.tensors.matrix("shift");
    const Index dim = call.v.cols;
    std::vector<double> normed;
    for (Index j = 0; j < call.v.rows; ++j) {
      double sum = 0, squares = 0;
      for (Index c = 0; c < dim; ++c) sum += call.v(j, c);
      const double mean = sum / static_cast<double>(dim);
      for (Index c = 0; c < dim; ++c) squares += std::pow(call.v(j, c) - mean, 2);
      const double deviation = std::sqrt(squares / static_cast<double>(dim) + kEpsilon);
      for (Index c = 0; c < dim; ++c) {
        normed.push_back((call.v(j, c) - mean) / deviation * gain.data[c] + shift.data[c]);
      }
    }
    return normed;
  }
};

SUBQUAD_VARIANT(Gmlp, {.name = "gmlp",
                       .summary = "queries times values that a learned matrix mixes; no softmax",
                       .citation = "arXiv:2105.08050",
                       .time = "n^2 d, not sub-quadratic",
                       .memory = "n d"});

}  // namespace
}  // namespace subquad
