// nystrom: softmax attention through landmarks. Xiong et al. 2021, "Nystromformer: a Nystrom-based
// algorithm for approximating self-attention" (arXiv:2102.03902), section 3.
//
//   Q~, K~ = means of m segments of the queries, of the keys
//   F = softmax(scale Q K~^T),  A = softmax(scale Q~ K~^T),  B = softmax(scale Q~ K^T)
//   out = F (A^+ (B V))
//
// Time O(n m (d + e) + m^3), memory O(m (d + e) + m^2).
//
// pinv=iterative: `steps` steps of Z <- Z/4 (13 - A Z (15 - A Z (7 - A Z))), 6 in the paper, from
// Z = A^T / (|A|_1 |A|_infinity). pinv=exact: the pseudo-inverse, where singular values below 1e-8
// of the largest count as 0; with as many landmarks as queries and keys that is dense attention.
// A and its inverse are in double. So is all the rest where exact, because an inverse as large as
// 1e8 would leave nothing of float32's digits; steps are bounded lest they get there.
//
// conv: a convolution of so many values along the length is added, one weight for each place and
// all channels alike, as in the authors' code (35 there); none by default, since it is no part of
// the approximation.
//
// Different from the paper's text: equation 16 divides sums by m where the length of a segment is
// meant; segments differ by at most one row where m does not divide n. Different from the authors'
// code: the iteration starts from the norms of each matrix, not from the largest of the batch, so
// that no head depends on another. Rows of F A^+ B need not be positive, nor sum to 1, and nothing
// bounds them: where no landmark resembles what a sharp head looks at, the error exceeds that of 0,
// most of all with the exact inverse. Not causal: landmarks hold all positions.

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernels/double_softmax.h"
#include "kernels/few_keys.h"
#include "kernels/few_queries.h"
#include "kernels/naive-inl.h"
#include "kernels/pseudo_inverse.h"
#include "kernels/segments.h"
#include "subquad/eigen.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Inverse { iterative, exact };

/// Queries of a tile in double, and output rows that a tile convolves.
constexpr Index kDoubleRows = 96;
constexpr Index kConvRows = 256;

class Nystrom final : public Variant {
 public:
  Index landmarks = 64;
  Inverse pinv = Inverse::iterative;
  Index steps = 6;
  Index conv = 0;

  void parameters(Parameters& visit) override {
    visit("landmarks", landmarks, at_least(1), "segments whose means stand for queries and keys");
    visit("pinv", pinv, {"iterative", "exact"}, "how the middle matrix is inverted");
    visit("steps", steps, between(1, 8), "of the iteration");
    visit("conv", conv, at_least(0), "values of the convolution that is added, odd; 0: none");
  }

  Target target(const Problem&) const override {
    return conv > 0 ? Target::operation : Target::estimator;
  }
  std::string exact_when(const Problem& problem) const override {
    if (problem.queries != problem.keys) return {};
    return "landmarks=" + std::to_string(problem.keys) + ",pinv=exact,conv=0";
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "landmarks hold all positions, so nothing can be causal";
    if (landmarks > std::min(problem.queries, problem.keys)) {
      return std::to_string(landmarks) + " landmarks are more than there are queries (" +
             std::to_string(problem.queries) + ") or keys (" + std::to_string(problem.keys) + ")";
    }
    if (conv > 0 && conv % 2 == 0) return "conv must be odd, not " + std::to_string(conv);
    if (conv > 0 && !problem.self_attention()) {
      return "conv adds values to the queries at their positions, so these must be the same tokens";
    }
    return {};
  }

  void tensors(const Problem&, TensorVisitor& visit) const override {
    if (conv == 0) return;
    const double bound = 1 / std::sqrt(static_cast<double>(conv));
    visit("conv", {{"conv", conv}}, init::uniform(-bound, bound), Role::learned, Sharing::head,
          "convolves values along the length");
  }

  Scratch scratch(const Problem& problem) const override {
    return pinv == Inverse::exact ? scratch_of<double>(problem) : scratch_of<float>(problem);
  }

  Cost cost(const Problem& problem) const override {
    const double m = static_cast<double>(landmarks);
    const double rows = static_cast<double>(problem.queries + problem.keys);
    Cost cost = softmax_cost(problem, m * rows);
    cost.useful.multiply_adds +=
        m * m * static_cast<double>(problem.dim) + inverse().multiply_adds(problem.value_dim);
    cost.useful.exponentials += m * m;
    // A kernel's place meets as many rows as its shift leaves.
    for (Index place = 0; place < conv; ++place) {
      const Index met = std::max<Index>(0, problem.keys - std::abs(place - conv / 2));
      cost.useful.multiply_adds += static_cast<double>(met * problem.value_dim);
    }
    cost.bytes += sizeof(float) * static_cast<double>(conv);
    cost.exact = pinv == Inverse::iterative;
    return cost;
  }

  void forward(const Call& call) const override {
    if (pinv == Inverse::exact) {
      approximate<double>(call);
    } else {
      approximate<float>(call);
    }
    if (conv > 0) convolve(call);
  }

  void reference(const ReferenceCall& call) const override {
    const Factors factors = this->factors(call);
    const Matrix values = product(factors.from_keys, rows_of(call.v));
    const Matrix out = product(factors.to_queries, values);
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = out[i][c];
        for (Index j = 0; conv > 0 && j < call.v.rows; ++j) {
          call.out(i, c) += conv_weight(call, i, j) * call.v(j, c);
        }
      }
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Factors factors = this->factors(call);
    const Matrix all = product(factors.to_queries, factors.from_keys);
    for (Index i = 0; i < weights.rows; ++i) {
      for (Index j = 0; j < weights.cols; ++j) {
        weights(i, j) = all[i][j] + (conv > 0 ? conv_weight(call, i, j) : 0);
      }
    }
  }

 private:
  PseudoInverse inverse() const {
    return {.size = landmarks, .steps = pinv == Inverse::exact ? 0 : steps};
  }

  template <class T>
  Scratch scratch_of(const Problem& problem) const {
    const Index m = landmarks, dim = problem.dim, value_dim = problem.value_dim;
    Scratch scratch = Scratch().shared<double>(m * dim).shared<double>(m * dim);
    if (!std::is_same_v<T, double>) scratch.shared<float>(m * dim).shared<float>(m * dim);
    declare_stretches<T>(m, problem.keys, dim, value_dim, scratch);
    scratch.shared<double>(m * padded_columns(value_dim))
        .shared<double>(m * padded_columns(value_dim))
        .shared<double>((m + dim) * padded_columns(m))
        .shared<double>(inverse().elements());
    if constexpr (std::is_same_v<T, double>) {
      const Index rows = std::min(kDoubleRows, problem.queries);
      Scratch attending;
      attending.worker<double>(rows * dim).worker<double>(rows * value_dim);
      scratch.worker_bytes =
          std::max(scratch.worker_bytes,
                   attending.worker_bytes + double_softmax_scratch_bytes(rows, dim, value_dim));
    } else {
      scratch.shared<float>(m * value_dim);
      declare_attend_all(problem.queries, m, dim, value_dim, scratch);
    }
    return scratch;
  }

  /// F (A^+ (B V)), where F and B V are computed in T.
  template <class T>
  void approximate(const Call& call) const {
    const Problem& problem = call.problem;
    Arena& arena = call.run.shared();
    const auto take = [&](Index rows, Index cols, Index stride) {
      return MatrixView<double>(arena.take<double>(rows * stride).data(), rows, cols, stride);
    };
    const Index m = landmarks, padded = padded_columns(problem.value_dim);
    const MatrixView<double> queries = take(m, problem.dim, problem.dim);
    const MatrixView<double> keys = take(m, problem.dim, problem.dim);
    segment_means(Segments::equal(problem.queries, m), call.q, queries, call.run);
    segment_means(Segments::equal(problem.keys, m), call.k, keys, call.run);
    const MatrixView<const T> rounded_queries = rounded<T>(queries, arena);
    const MatrixView<const T> rounded_keys = rounded<T>(keys, arena);
    const MatrixView<double> values = take(m, problem.value_dim, padded);
    const MatrixView<double> mixed = take(m, problem.value_dim, padded);
    attend_by_stretches(rounded_queries, call.k, call.v, problem.score_scale(), values, call.run);
    mix(problem, queries, keys, values, mixed, call.run);
    attend<T>(call, rounded_keys, mixed);
  }

  template <class T>
  static MatrixView<const T> rounded(MatrixView<double> rows, Arena& arena) {
    if constexpr (std::is_same_v<T, double>) {
      return rows;
    } else {
      const View result = arena.take_matrix(rows.rows, rows.cols);
      std::copy_n(rows.data, rows.rows * rows.cols, result.data);
      return result;
    }
  }

  /// mixed = A^+ values.
  void mix(const Problem& problem, MatrixView<double> queries, MatrixView<double> keys,
           MatrixView<double> values, MatrixView<double> mixed, Run& run) const {
    const Index m = landmarks, padded = padded_columns(m);
    const std::span<double> memory = run.shared().take<double>((m + problem.dim) * padded);
    const std::span<double> of_inverse = run.shared().take<double>(inverse().elements());
    const MatrixView<double> a(memory.data(), m, m, padded);
    const MatrixView<double> keys_transposed(a.row(m), problem.dim, m, padded);
    run.parallel(1, [&](Index, Worker& worker) {
      as_eigen(keys_transposed) = as_eigen(keys).transpose();
      multiply_padded(queries, keys_transposed, a, worker);
      for (Index i = 0; i < m; ++i) {
        auto row = as_eigen(a).row(i).array();
        const double largest = row.maxCoeff();
        row = (problem.score_scale() * (row - largest)).exp();
        row /= row.sum();
      }
      inverse().multiply(a, values, mixed, of_inverse, worker);
    });
  }

  /// out = F mixed.
  template <class T>
  void attend(const Call& call, MatrixView<const T> keys, MatrixView<double> mixed) const {
    const double scale = call.problem.score_scale();
    if constexpr (std::is_same_v<T, float>) {
      const View values = call.run.shared().take_matrix(mixed.rows, mixed.cols);
      for (Index i = 0; i < mixed.rows; ++i) std::copy_n(mixed.row(i), mixed.cols, values.row(i));
      attend_all({.q = call.q,
                  .k = keys,
                  .v = values,
                  .out = call.out,
                  .scale = static_cast<float>(scale)},
                 call.run);
    } else {
      call.run.parallel(
          (call.q.rows + kDoubleRows - 1) / kDoubleRows,
          [&](Index tile, Worker& worker) { attend_in_double(call, tile, keys, mixed, worker); });
    }
  }

  static void attend_in_double(const Call& call, Index tile, MatrixView<const double> keys,
                               MatrixView<double> mixed, Worker& worker) {
    const Index begin = tile * kDoubleRows, rows = std::min(kDoubleRows, call.q.rows - begin);
    const MatrixView<double> out(worker.scratch.take<double>(rows * mixed.cols).data(), rows,
                                 mixed.cols);
    double_softmax({.q = widened(call.q.row_range(begin, rows), worker),
                    .k = keys,
                    .v = mixed,
                    .out = out,
                    .scale = call.problem.score_scale()},
                   worker);
    for (Index i = 0; i < rows; ++i) {
      std::copy_n(out.row(i), out.cols, call.out.row(begin + i));
    }
  }

  /// Adds the convolution of V.
  void convolve(const Call& call) const {
    const Index n = call.v.rows, half = conv / 2;
    const float* const weights = call.tensors.matrix("conv").data;
    call.run.parallel((n + kConvRows - 1) / kConvRows, [&](Index tile, Worker& worker) {
      const Index end = std::min((tile + 1) * kConvRows, n);
      for (Index i = tile * kConvRows; i < end; ++i) {
        const Index first = std::max<Index>(0, i - half), last = std::min(n - 1, i + half);
        float* const out = call.out.row(i);
        for (Index j = first; j <= last; ++j) {
          const float weight = weights[j - i + half];
          const float* const values = call.v.row(j);
          for (Index c = 0; c < call.v.cols; ++c) out[c] += weight * values[c];
        }
        worker.executed.multiply_adds += static_cast<double>((last - first + 1) * call.v.cols);
      }
    });
  }

  // ---- the reference, in double and by loops ----------------------------------------------------

  using Matrix = std::vector<std::vector<double>>;

  /// F A^+ and B.
  struct Factors {
    Matrix to_queries, from_keys;
  };
  Factors factors(const ReferenceCall& call) const {
    const Matrix q = rows_of(call.q), k = rows_of(call.k);
    const Matrix landmark_queries = means(q), landmark_keys = means(k);
    const Matrix a = softmax(call, landmark_queries, landmark_keys);
    const Matrix inverse = pinv == Inverse::exact ? by_svd(a) : iterated(a);
    return {product(softmax(call, q, landmark_keys), inverse), softmax(call, landmark_queries, k)};
  }

  double conv_weight(const ReferenceCall& call, Index query, Index key) const {
    const Index place = key - query + conv / 2;
    return place >= 0 && place < conv ? call.tensors.matrix("conv").data[place] : 0;
  }

  static Matrix rows_of(MatrixView<const double> view) {
    Matrix rows;
    for (Index i = 0; i < view.rows; ++i) rows.emplace_back(view.row(i), view.row(i) + view.cols);
    return rows;
  }

  Matrix means(const Matrix& rows) const {
    const auto n = static_cast<Index>(rows.size());
    Matrix result(landmarks, std::vector<double>(rows.front().size()));
    for (Index s = 0; s < landmarks; ++s) {
      const Index begin = s * n / landmarks, end = (s + 1) * n / landmarks;
      for (Index i = begin; i < end; ++i) {
        for (std::size_t c = 0; c < rows[i].size(); ++c) {
          result[s][c] += rows[i][c] / static_cast<double>(end - begin);
        }
      }
    }
    return result;
  }

  static Matrix softmax(const ReferenceCall& call, const Matrix& queries, const Matrix& keys) {
    Matrix result;
    for (const std::vector<double>& query : queries) {
      std::vector<double>& row = result.emplace_back();
      for (const std::vector<double>& key : keys) {
        double dot = 0;
        for (std::size_t c = 0; c < key.size(); ++c) dot += query[c] * key[c];
        row.push_back(call.problem.score_scale() * dot);
      }
      naive_softmax(row);
    }
    return result;
  }

  static Matrix product(const Matrix& a, const Matrix& b) {
    Matrix result(a.size(), std::vector<double>(b.front().size()));
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::size_t j = 0; j < b.size(); ++j) {
        for (std::size_t c = 0; c < b[j].size(); ++c) result[i][c] += a[i][j] * b[j][c];
      }
    }
    return result;
  }

  Matrix iterated(const Matrix& a) const {
    Matrix z = a;
    double norm_1 = 0, norm_infinity = 0;
    for (Index i = 0; i < landmarks; ++i) {
      double row = 0, column = 0;
      for (Index j = 0; j < landmarks; ++j) {
        row += a[i][j];
        column += a[j][i];
        z[i][j] = a[j][i];
      }
      norm_infinity = std::max(norm_infinity, row);
      norm_1 = std::max(norm_1, column);
    }
    const auto map = [&](Matrix matrix, double factor, double diagonal) {
      for (Index i = 0; i < landmarks; ++i) {
        for (Index j = 0; j < landmarks; ++j) {
          matrix[i][j] = factor * matrix[i][j] + (i == j ? diagonal : 0);
        }
      }
      return matrix;
    };
    z = map(z, 1 / (norm_1 * norm_infinity), 0);
    for (Index step = 0; step < steps; ++step) {
      const Matrix az = product(a, z);
      const Matrix inner = product(az, map(az, -1, 7));
      z = map(product(z, map(product(az, map(inner, -1, 15)), -1, 13)), 0.25, 0);
    }
    return z;
  }

  Matrix by_svd(const Matrix& a) const {
    RowMajor<double> matrix(landmarks, landmarks);
    for (Index i = 0; i < landmarks; ++i) {
      for (Index j = 0; j < landmarks; ++j) matrix(i, j) = a[i][j];
    }
    const Eigen::JacobiSVD<RowMajor<double>> svd(matrix, Eigen::ComputeFullU | Eigen::ComputeFullV);
    Eigen::VectorXd factors = svd.singularValues();
    const double smallest = PseudoInverse::kSmallest * factors[0];
    for (double& factor : factors) factor = factor > smallest ? 1 / factor : 0;
    matrix = svd.matrixV() * factors.asDiagonal() * svd.matrixU().transpose();
    return rows_of({matrix.data(), landmarks, landmarks});
  }
};

SUBQUAD_VARIANT(Nystrom, {.name = "nystrom",
                          .summary = "softmax attention through means of queries and keys",
                          .citation = "arXiv:2102.03902",
                          .time = "n landmarks d + landmarks^3",
                          .memory = "landmarks d + landmarks^2"});

}  // namespace
}  // namespace subquad
