// efficient: queries softmaxed over features, keys over positions, so that their product needs no
// normalising. Shen et al. 2018, "Efficient attention: attention with linear complexities"
// (arXiv:1812.01243), section 3.2.
//
//   out = rho_q(Q) (rho_k(K)^T V),   rho_q: softmax of each row,   rho_k: softmax of each column
//
// Rows of rho_q(Q) rho_k(K)^T sum to 1. Time O(n d e), a state of d e + 2 d numbers. Scores are not
// scaled, as in the authors' code. Not causal: a key's weight depends on all keys.
//
// Different from the paper: none but in the order of sums (kernels/linear_attention.h). Of its two
// normalisations the other, division by sqrt(n), is left out.

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/linear_attention.h"
#include "kernels/naive-inl.h"
#include "kernels/rowwise.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Keys are exponents as they stand; queries are features.
class SoftmaxMap final : public FeatureMap<float> {
 public:
  Index features(Index dim) const override { return dim; }
  FeatureScale scale() const override { return FeatureScale::feature; }
  void map_queries(ConstView rows, Index, View features, float*, Worker& worker) const override {
    for (Index i = 0; i < rows.rows; ++i) {
      std::copy_n(rows.row(i), rows.cols, features.row(i));
      softmax_in_place({features.row(i), static_cast<std::size_t>(rows.cols)});
    }
    worker.executed.exponentials += static_cast<double>(rows.rows * rows.cols);
  }
  void map_keys(ConstView rows, Index, View features, float*, Worker&) const override {
    for (Index j = 0; j < rows.rows; ++j) std::copy_n(rows.row(j), rows.cols, features.row(j));
  }
};

class Efficient final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem& problem) const override {
    return problem.causal ? "keys are softmaxed over all positions, so nothing can be causal" : "";
  }
  bool ignores_key_order(const Problem&) const override { return true; }

  Scratch scratch(const Problem& problem) const override { return kernel().scratch(problem); }
  Cost cost(const Problem& problem) const override {
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    return {.useful = {.multiply_adds = kernel().multiply_adds(problem),
                       .exponentials = rows * static_cast<double>(problem.dim)},
            .bytes = sizeof(float) * rows * width};
  }
  void forward(const Call& call) const override { kernel().forward(call); }
  std::size_t prepared_bytes(const Problem& problem) const override {
    return kernel().prepared_bytes(problem);
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    kernel().prepare(call, prepared);
  }

  void reference(const ReferenceCall& call) const override {
    const std::vector<std::vector<double>> keys = softmaxed_keys(call);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, keys, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const std::vector<std::vector<double>> keys = softmaxed_keys(call);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, keys, weights.row(i));
  }

 private:
  LinearAttention<float> kernel() const {
    return {.map = map_, .normaliser = Normaliser::positions};
  }

  /// Columns of rho_k(K).
  static std::vector<std::vector<double>> softmaxed_keys(const ReferenceCall& call) {
    std::vector<std::vector<double>> columns(static_cast<std::size_t>(call.problem.dim));
    for (Index c = 0; c < call.problem.dim; ++c) {
      for (Index j = 0; j < call.problem.keys; ++j) columns[c].push_back(call.k(j, c));
      naive_softmax(columns[c]);
    }
    return columns;
  }

  static void weigh(const ReferenceCall& call, Index i,
                    const std::vector<std::vector<double>>& keys, double* row) {
    std::vector<double> query(call.q.row(i), call.q.row(i) + call.problem.dim);
    naive_softmax(query);
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = 0;
      for (Index c = 0; c < call.problem.dim; ++c) row[j] += query[c] * keys[c][j];
    }
  }

  SoftmaxMap map_;
};

SUBQUAD_VARIANT(Efficient,
                {.name = "efficient",
                 .summary = "efficient attention: q softmaxed over features, k over positions",
                 .citation = "arXiv:1812.01243",
                 .time = "n d^2",
                 .memory = "d^2"});

}  // namespace
}  // namespace subquad
