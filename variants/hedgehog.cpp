// hedgehog: linear attention whose features are a softmax of a learned projection and of its
// negative. Zhang et al. 2024, "The hedgehog and the porcupine: expressive linear attentions with
// softmax mimicry" (arXiv:2402.04347), section 4.
//
//   out_i = phi(q_i)^T S_i / phi(q_i)^T z_i
//   S_i = sum over seen j of phi(k_j) v_j^T,   z_i = sum over seen j of phi(k_j)
//   phi(x) = softmax([2 W x, -2 W x]),   W in R^(d x d), one for queries and one for keys
//
// Time O(n d (d + e)), a state of 2 d (e + 2) numbers. W is learned in the paper, to mimic a
// model's softmax, and the identity before that, as here; so this is an operation of its own.
// Scores are not scaled, as in the paper.
//
// Different from the paper: one softmax over both halves and the factor 2 are those of the
// implementation in use (fla, fla/modules/feature_map.py); its bias, 0 at first, is left out. The
// paper's exp([W x, -W x]) has neither factor nor denominator (that of a query cancels, that of a
// key does not), and the authors' later LoLCATs takes a softmax of each half. Features are kept as
// logarithms (kernels/linear_attention.h), so that a query and a key that are sharp in different
// features still have a weight.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/feature_attention-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class HedgehogMap final : public FeatureMap<float> {
 public:
  HedgehogMap(ConstView query_weights, ConstView key_weights)
      : query_weights_(query_weights), key_weights_(key_weights) {}

  Index features(Index dim) const override { return 2 * dim; }
  FeatureScale scale() const override { return FeatureScale::feature; }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    return std::max(product_scratch_bytes(count, dim, dim),
                    Scratch().worker<float>(2 * dim).worker_bytes);
  }

  /// Without the denominator, which cancels.
  void map_queries(ConstView rows, Index, View features, float*, Worker& worker) const override {
    project(rows, query_weights_, features, worker);
  }
  void map_keys(ConstView rows, Index, View features, float*, Worker& worker) const override {
    project(rows, key_weights_, features, worker);
    const std::size_t mark = worker.scratch.used();
    const std::span<float> copy = worker.scratch.take<float>(features.cols);
    for (Index j = 0; j < rows.rows; ++j) {
      float* const row = features.row(j);
      std::copy_n(row, features.cols, copy.data());
      const float log_sum = softmax_in_place(copy);
      for (Index f = 0; f < features.cols; ++f) row[f] -= log_sum;
    }
    worker.scratch.rewind(mark);
    worker.executed.exponentials += static_cast<double>(rows.rows * features.cols);
  }

 private:
  static void project(ConstView rows, ConstView weights, View features, Worker& worker) {
    multiply_transposed(rows, weights, features.col_range(0, rows.cols), worker, 2);
    for (Index i = 0; i < rows.rows; ++i) {
      float* const row = features.row(i);
      for (Index c = 0; c < rows.cols; ++c) row[rows.cols + c] = -row[c];
    }
  }

  ConstView query_weights_, key_weights_;  ///< [dim, dim]
};

class Hedgehog final : public FeatureAttention<Hedgehog, float> {
 public:
  Target target(const Problem&) const override { return Target::operation; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Shape shape = {{"features", problem.dim}, {"dim", problem.dim}};
    visit("query_weights", shape, init::identity(), Role::learned, Sharing::head,
          "W of the features of queries");
    visit("key_weights", shape, init::identity(), Role::learned, Sharing::head,
          "W of the features of keys");
  }

  Cost cost(const Problem& problem) const override {
    const double dim = static_cast<double>(problem.dim);
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    return {
        .useful = {.multiply_adds = rows * dim * dim + kernel_multiply_adds(problem),
                   .exponentials = rows * 2 * dim},
        .bytes = sizeof(float) * (rows * width + 2 * dim * dim),
    };
  }

  HedgehogMap map(const Problem&, const Tensors* tensors) const {
    if (tensors == nullptr) return {{}, {}};
    return {tensors->matrix("query_weights"), tensors->matrix("key_weights")};
  }
  LinearAttention<float> kernel(const FeatureMap<float>& map) const {
    return {.map = map, .chunk = chunk};
  }

  void reference(const ReferenceCall& call) const override {
    const LogFeatures q = log_features(call, call.q, "query_weights");
    const LogFeatures k = log_features(call, call.k, "key_weights");
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, q, k, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const LogFeatures q = log_features(call, call.q, "query_weights");
    const LogFeatures k = log_features(call, call.k, "key_weights");
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, q, k, weights.row(i));
  }

 private:
  using LogFeatures = std::vector<std::vector<double>>;

  static LogFeatures log_features(const ReferenceCall& call, MatrixView<const double> rows,
                                  std::string_view name) {
    const ConstView w = call.tensors.matrix(name);
    LogFeatures found;
    for (Index i = 0; i < rows.rows; ++i) {
      std::vector<double> row(static_cast<std::size_t>(2 * w.rows));
      for (Index f = 0; f < w.rows; ++f) {
        for (Index c = 0; c < w.cols; ++c) row[f] += 2 * w(f, c) * rows(i, c);
        row[w.rows + f] = -row[f];
      }
      std::vector<double> softmax = row;
      const double log_sum = naive_softmax(softmax);
      for (double& value : row) value -= log_sum;
      found.push_back(std::move(row));
    }
    return found;
  }

  /// log(phi(q)^T phi(k)) is a log-sum-exp over features.
  static void weigh(const ReferenceCall& call, Index i, const LogFeatures& q, const LogFeatures& k,
                    double* row) {
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = -std::numeric_limits<double>::infinity();
      if (!call.problem.sees(i, j)) continue;
      std::vector<double> sums = q[i];
      for (std::size_t f = 0; f < sums.size(); ++f) sums[f] += k[j][f];
      row[j] = naive_softmax(sums);
    }
    naive_softmax({row, static_cast<std::size_t>(call.problem.keys)});
  }
};

SUBQUAD_VARIANT(Hedgehog,
                {.name = "hedgehog",
                 .summary = "linear attention: features softmax([2 W x, -2 W x]), W learned",
                 .citation = "arXiv:2402.04347",
                 .time = "n d^2",
                 .memory = "d^2"});

}  // namespace
}  // namespace subquad
