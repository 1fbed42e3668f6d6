// taylor: linear attention whose features give the exponential's Taylor series up to the square.
// Arora et al. 2024, "Simple linear attention language models balance the recall-throughput
// tradeoff" (Based, arXiv:2402.18668), section 4.1.
//
//   out_i = phi(q_i')^T S_i / phi(q_i')^T z_i
//   S_i = sum over seen j of phi(k_j') v_j^T,   z_i = sum over seen j of phi(k_j')
//   phi(x) = [1, sqrt(s) x, s vec(x x^T) / sqrt(2)],   s the scale of scores
//
// so phi(q)^T phi(k) = 1 + t + t^2 / 2 with t = s q . k, at least 1/2. Both orders of a pair of
// coordinates are one feature times sqrt(2), so there are 1 + w + w (w + 1) / 2 of them for w
// coordinates. Time O(n w^2 e), a state of about w^2 e / 2 numbers.
//
// width = 0 takes q and k as they are, w = d: an estimator of dense attention, right where scores
// are small. Otherwise q' = P_q q and k' = P_k k with w = width coordinates, the paper's 16; these
// are learned there, so this is an operation. Before that they are drawn from N(0, 1 / d), which
// leaves q' and k' coordinates as large as those of q and k. Scores q' . k' are then larger than
// q . k by sqrt(w / d) in root mean square, and s is the problem's scale times sqrt(d / w):
// 1 / sqrt(w) by default, as in the paper.
//
// Different from the paper: no epsilon is added to the denominator. Features are in double: terms
// of t^2 cancel, and in float a score of 100 would leave no digit of a weight of 1/2.

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/feature_attention-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class TaylorMap final : public FeatureMap<double> {
 public:
  /// Projections [width, dim], or none of them where `width` is 0.
  TaylorMap(Index width, double scale, ConstView query_projection, ConstView key_projection)
      : width_(width),
        root_(std::sqrt(scale)),
        query_projection_(query_projection),
        key_projection_(key_projection) {}

  Index features(Index dim) const override {
    const Index w = width_ == 0 ? dim : width_;
    return 1 + w + w * (w + 1) / 2;
  }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    if (width_ == 0) return 0;
    return Scratch().worker<float>(count * width_).worker_bytes +
           product_scratch_bytes(count, width_, dim);
  }
  void map_queries(ConstView rows, Index, MatrixView<double> features, double*,
                   Worker& worker) const override {
    map(rows, query_projection_, features, worker);
  }
  void map_keys(ConstView rows, Index, MatrixView<double> features, double*,
                Worker& worker) const override {
    map(rows, key_projection_, features, worker);
  }

 private:
  void map(ConstView rows, ConstView projection, MatrixView<double> features,
           Worker& worker) const {
    if (width_ == 0) return expand(rows, features);
    const std::size_t mark = worker.scratch.used();
    const View projected = worker.scratch.take_matrix(rows.rows, width_);
    multiply_transposed(rows, projection, projected, worker);
    expand(projected, features);
    worker.scratch.rewind(mark);
  }

  void expand(ConstView rows, MatrixView<double> features) const {
    const Index w = rows.cols;
    for (Index i = 0; i < rows.rows; ++i) {
      double* const first = features.row(i) + 1;
      features(i, 0) = 1;
      for (Index a = 0; a < w; ++a) first[a] = root_ * rows(i, a);
      double* to = first + w;
      for (Index a = 0; a < w; ++a) {
        for (Index b = a; b < w; ++b) to[b - a] = first[a] * first[b];
        to[0] *= std::sqrt(0.5);
        to += w - a;
      }
    }
  }

  Index width_;
  double root_;
  ConstView query_projection_, key_projection_;
};

class Taylor final : public FeatureAttention<Taylor, double> {
 public:
  Index width = 16;

  void parameters(Parameters& visit) override {
    visit("width", width, between(0, 64),
          "columns that q and k are projected to first; 0: they are taken as they are");
  }

  Target target(const Problem&) const override {
    return width == 0 ? Target::estimator : Target::operation;
  }
  std::string refuses(const Problem& problem) const override {
    return problem.score_scale() < 0 ? "features take the root of the scale, which is negative"
                                     : "";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    if (width == 0) return;
    const Shape shape = {{"width", width}, {"dim", problem.dim}};
    const double std = 1 / std::sqrt(static_cast<double>(problem.dim));
    visit("query_projection", shape, init::normal(std), Role::learned, Sharing::head,
          "P_q, which queries are projected by");
    visit("key_projection", shape, init::normal(std), Role::learned, Sharing::head,
          "P_k, which keys are projected by");
  }

  Cost cost(const Problem& problem) const override {
    const double projection = static_cast<double>(width) * static_cast<double>(problem.dim);
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double columns = static_cast<double>(problem.dim + problem.value_dim);
    return {.useful = {.multiply_adds = rows * projection + kernel_multiply_adds(problem)},
            .bytes = sizeof(float) * (rows * columns + 2 * projection)};
  }

  TaylorMap map(const Problem& problem, const Tensors* tensors) const {
    if (width == 0 || tensors == nullptr) return {width, scale(problem), {}, {}};
    return {width, scale(problem), tensors->matrix("query_projection"),
            tensors->matrix("key_projection")};
  }
  LinearAttention<double> kernel(const FeatureMap<double>& map) const {
    return {.map = map, .chunk = chunk};
  }

  void reference(const ReferenceCall& call) const override {
    const Matrix q = projected(call, call.q, "query_projection");
    const Matrix k = projected(call, call.k, "key_projection");
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, q, k, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Matrix q = projected(call, call.q, "query_projection");
    const Matrix k = projected(call, call.k, "key_projection");
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, q, k, weights.row(i));
  }

 private:
  using Matrix = std::vector<std::vector<double>>;

  double scale(const Problem& problem) const {
    if (width == 0) return problem.score_scale();
    return problem.score_scale() *
           std::sqrt(static_cast<double>(problem.dim) / static_cast<double>(width));
  }
  Matrix projected(const ReferenceCall& call, MatrixView<const double> rows,
                   std::string_view name) const {
    Matrix found;
    for (Index i = 0; i < rows.rows; ++i) {
      if (width == 0) {
        found.emplace_back(rows.row(i), rows.row(i) + rows.cols);
        continue;
      }
      const ConstView projection = call.tensors.matrix(name);
      std::vector<double> row(static_cast<std::size_t>(width));
      for (Index f = 0; f < width; ++f) {
        for (Index c = 0; c < rows.cols; ++c) row[f] += projection(f, c) * rows(i, c);
      }
      found.push_back(std::move(row));
    }
    return found;
  }

  void weigh(const ReferenceCall& call, Index i, const Matrix& q, const Matrix& k,
             double* row) const {
    double sum = 0;
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = 0;
      if (!call.problem.sees(i, j)) continue;
      double score = 0;
      for (std::size_t c = 0; c < q[i].size(); ++c) score += q[i][c] * k[j][c];
      score *= scale(call.problem);
      row[j] = 1 + score + score * score / 2;
      sum += row[j];
    }
    for (Index j = 0; j < call.problem.keys; ++j) row[j] /= sum;
  }
};

SUBQUAD_VARIANT(Taylor, {.name = "taylor",
                         .summary = "linear attention: weights 1 + s + s^2 / 2 of scores s (Based)",
                         .citation = "arXiv:2402.18668",
                         .time = "n width^2 d",
                         .memory = "width^2 d"});

}  // namespace
}  // namespace subquad
