// cosformer: relu(q) and relu(k), reweighted by a cosine of their distance. Qin et al. 2022,
// "cosFormer: rethinking softmax in attention" (arXiv:2202.08791), sections 3.2 and 3.3.
//
//   out_i = sum_j w_ij v_j / max(sum_j w_ij, 1e-6)               over seen j
//   w_ij = relu(q_i) . relu(k_j) cos(pi / 2 (i - j) / M)          positions i, j = 1, 2, ...
//
// The cosine is cos a_i cos a_j + sin a_i sin a_j with a_i = pi i / (2 M), so there are two
// features for each of d coordinates, none of them negative, and the rest is linear attention. Time
// O(n d e), a state of 2 d (e + 1) numbers. Scores are not scaled, as in the paper and its code.
//
// M is at least every position; `max_length` fixes it. The default, the length at hand, is what the
// authors' code does, and has the same causal prefix weigh keys otherwise in a longer sequence. The
// bound 1e-6 is that code's: a query with no positive coordinate gives 0.

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "kernels/feature_attention-inl.h"
#include "kernels/naive-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

constexpr double kLeast = 1e-6;

class CosineMap final : public FeatureMap<float> {
 public:
  explicit CosineMap(Index length) : length_(length) {}

  Index features(Index dim) const override { return 2 * dim; }
  void map_queries(ConstView rows, Index first, View features, float*,
                   Worker& worker) const override {
    for (Index i = 0; i < rows.rows; ++i) {
      const double angle =
          std::numbers::pi / 2 * static_cast<double>(first + i + 1) / static_cast<double>(length_);
      const float cosine = static_cast<float>(std::cos(angle));
      const float sine = static_cast<float>(std::sin(angle));
      const float* const row = rows.row(i);
      float* const to = features.row(i);
      for (Index c = 0; c < rows.cols; ++c) {
        const float positive = std::max(row[c], 0.0f);
        to[c] = cosine * positive;
        to[rows.cols + c] = sine * positive;
      }
    }
    worker.executed.exponentials += static_cast<double>(2 * rows.rows);
  }
  void map_keys(ConstView rows, Index first, View features, float* logs,
                Worker& worker) const override {
    map_queries(rows, first, features, logs, worker);
  }

 private:
  Index length_;
};

class Cosformer final : public FeatureAttention<Cosformer, float> {
 public:
  Index max_length = 0;

  void parameters(Parameters& visit) override {
    visit("max_length", max_length, at_least(0), "M, at least the last position; 0: the length");
  }

  Target target(const Problem&) const override { return Target::operation; }
  bool ignores_key_order(const Problem&) const override { return false; }
  std::string refuses(const Problem& problem) const override {
    if (max_length == 0 || length(problem) <= max_length) return {};
    return "max_length is " + std::to_string(max_length) + ", and there are positions up to " +
           std::to_string(length(problem));
  }

  Cost cost(const Problem& problem) const override {
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    return {.useful = {.multiply_adds = kernel_multiply_adds(problem), .exponentials = 2 * rows},
            .bytes = sizeof(float) * rows * width};
  }

  CosineMap map(const Problem& problem, const Tensors*) const {
    return CosineMap(max_length == 0 ? length(problem) : max_length);
  }
  LinearAttention<float> kernel(const FeatureMap<float>& map) const {
    return {.map = map, .chunk = chunk, .least = kLeast};
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, weights.row(i));
  }

 private:
  /// The last position, counted from 1.
  static Index length(const Problem& problem) {
    return std::max(problem.position(problem.queries), problem.keys);
  }
  double period(const Problem& problem) const {
    return static_cast<double>(max_length == 0 ? length(problem) : max_length);
  }

  void weigh(const ReferenceCall& call, Index i, double* row) const {
    const Problem& problem = call.problem;
    double sum = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      row[j] = 0;
      if (!problem.sees(i, j)) continue;
      for (Index c = 0; c < problem.dim; ++c) {
        row[j] += std::max(call.q(i, c), 0.0) * std::max(call.k(j, c), 0.0);
      }
      const double distance = static_cast<double>(problem.position(i) - j);
      row[j] *= std::cos(std::numbers::pi / 2 * distance / period(problem));
      sum += row[j];
    }
    for (Index j = 0; j < problem.keys; ++j) row[j] /= std::max(sum, kLeast);
  }
};

SUBQUAD_VARIANT(Cosformer, {.name = "cosformer",
                            .summary = "linear attention: relu features, weighed by the cosine of "
                                       "their distance",
                            .citation = "arXiv:2202.08791",
                            .time = "n d^2",
                            .memory = "d^2"});

}  // namespace
}  // namespace subquad
