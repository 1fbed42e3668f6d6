// linear: attention with a kernel that is an inner product of features, so that the order of the
// products can be turned round. Katharopoulos et al. 2020, "Transformers are RNNs"
// (arXiv:2006.16236), section 3.2, equations 4 to 7; causal: section 3.3, equations 8 to 12;
// decoding: section 3.4, equations 16 to 20.
//
//   out_i = phi(q_i)^T S_i / (phi(q_i)^T z_i + 1e-6)
//   S_i = sum over seen j of phi(k_j) v_j^T,   z_i = sum over seen j of phi(k_j)
//
// phi is elu(x) + 1, or relu, element by element. Time O(n d e), a state of d e + d numbers. The
// scores' scale is not applied, as in the paper and its code: phi is not homogeneous, and training
// would take the scale up in the projections.
//
// Different from the paper: causal rows are not one prefix sum after the other but chunks, with the
// state carried between them and a triangular product inside (kernels/linear_attention.h); the same
// sums in another order. The 1e-6 in the denominator is the authors' code's, not the paper's: where
// relu leaves a query no feature at all, the output is 0.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/linear_attention.h"
#include "kernels/rowwise.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Feature { elu, relu };
constexpr double kEpsilon = 1e-6;

/// elu(x) + 1 = exp(min(x, 0)) + max(x, 0).
class ElementwiseMap final : public FeatureMap {
 public:
  explicit ElementwiseMap(Feature feature) : feature_(feature) {}

  Index features(Index dim) const override { return dim; }
  void map_queries(ConstView rows, View features, Worker& worker) const override {
    for (Index i = 0; i < rows.rows; ++i) {
      map_row(rows.row(i), {features.row(i), static_cast<std::size_t>(rows.cols)});
    }
    if (feature_ == Feature::elu) {
      worker.executed.exponentials += static_cast<double>(rows.rows * rows.cols);
    }
  }
  void map_keys(ConstView rows, View features, Worker& worker) const override {
    map_queries(rows, features, worker);
  }

 private:
  void map_row(const float* row, std::span<float> features) const {
    if (feature_ == Feature::relu) {
      for (std::size_t j = 0; j < features.size(); ++j) features[j] = std::max(row[j], 0.0f);
      return;
    }
    for (std::size_t j = 0; j < features.size(); ++j) features[j] = std::min(row[j], 0.0f);
    exp_minus(features, 0);
    for (std::size_t j = 0; j < features.size(); ++j) features[j] += std::max(row[j], 0.0f);
  }

  Feature feature_;
};

/// The recurrent form: S and z as they stand after the tokens so far.
class LinearStream final : public Stream {
 public:
  LinearStream(Feature feature, Index dim, Index value_dim)
      : feature_(feature),
        dim_(dim),
        value_dim_(value_dim),
        sums_(static_cast<std::size_t>(dim * value_dim)),
        normaliser_(static_cast<std::size_t>(dim)) {}

  void step(const Token& token) override {
    for (Index f = 0; f < dim_; ++f) {
      const float key_feature = map(token.key[f]);
      float* sums = sums_.data() + f * value_dim_;
      for (Index c = 0; c < value_dim_; ++c) sums[c] += key_feature * token.value[c];
      normaliser_[f] += key_feature;
    }
    for (Index i = 0; i < token.queries.rows; ++i) ask(token.queries.row(i), token.out.row(i));
  }
  std::unique_ptr<Stream> clone() const override { return std::make_unique<LinearStream>(*this); }

  std::size_t state_bytes() const override {
    return sizeof(float) * (sums_.size() + normaliser_.size());
  }

 private:
  void ask(const float* query, float* out) const {
    std::fill_n(out, value_dim_, 0.0f);
    float norm = static_cast<float>(kEpsilon);
    for (Index f = 0; f < dim_; ++f) {
      const float feature = map(query[f]);
      const float* sums = sums_.data() + f * value_dim_;
      for (Index c = 0; c < value_dim_; ++c) out[c] += feature * sums[c];
      norm += feature * normaliser_[f];
    }
    for (Index c = 0; c < value_dim_; ++c) out[c] /= norm;
  }
  float map(float x) const {
    if (feature_ == Feature::relu) return std::max(x, 0.0f);
    return x > 0 ? x + 1 : std::exp(x);
  }

  Feature feature_;
  Index dim_, value_dim_;
  std::vector<float> sums_, normaliser_;
};

class Linear final : public Variant {
 public:
  Feature feature_map = Feature::elu;
  Index chunk = 64;

  void parameters(Parameters& visit) override {
    visit("feature_map", feature_map, {"elu", "relu"},
          "feature of each element: elu(x) + 1, relu(x)");
    visit("chunk", chunk, between(1, 4096),
          "rows handled by one matrix product; changes no result");
  }
  Target target(const Problem&) const override { return Target::operation; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

  Scratch scratch(const Problem& problem) const override {
    const ElementwiseMap map(feature_map);
    return kernel(map).scratch(problem);
  }

  Cost cost(const Problem& p) const override {
    const double queries = static_cast<double>(p.queries), keys = static_cast<double>(p.keys);
    const double state = static_cast<double>(p.dim * p.value_dim);
    const double features = (queries + keys_used(p)) * static_cast<double>(p.dim);
    return {
        .useful = {.multiply_adds =
                       keys_used(p) * state + queries * (state + static_cast<double>(p.dim)),
                   .exponentials = feature_map == Feature::elu ? features : 0},
        .bytes = sizeof(float) * (features + (queries + keys) * static_cast<double>(p.value_dim))};
  }

  void forward(const Call& call) const override {
    const ElementwiseMap map(feature_map);
    kernel(map).forward(call);
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> scores(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      const double norm = kernel_row(call, i, scores) + kEpsilon;
      for (Index c = 0; c < call.out.cols; ++c) {
        double sum = 0;
        for (Index j = 0; j < call.v.rows; ++j) {
          if (call.problem.sees(i, j)) sum += scores[j] * call.v(j, c);
        }
        call.out(i, c) = sum / norm;
      }
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    std::vector<double> scores(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < weights.rows; ++i) {
      const double norm = kernel_row(call, i, scores) + kEpsilon;
      for (Index j = 0; j < weights.cols; ++j) weights(i, j) = scores[j] / norm;
    }
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    return std::make_unique<LinearStream>(feature_map, problem.dim, problem.value_dim);
  }

 private:
  LinearAttention kernel(const ElementwiseMap& map) const { return {map, chunk, kEpsilon}; }

  /// Keys that some query sees.
  static double keys_used(const Problem& p) {
    return static_cast<double>(p.causal ? std::min(p.keys, p.position(p.queries - 1) + 1) : p.keys);
  }

  double feature(double x) const {
    if (feature_map == Feature::relu) return std::max(x, 0.0);
    return x > 0 ? x + 1 : std::exp(x);
  }

  /// phi(q_i)^T phi(k_j) of the seen keys, 0 elsewhere; returns their sum.
  double kernel_row(const ReferenceCall& call, Index i, std::vector<double>& row) const {
    double sum = 0;
    for (Index j = 0; j < call.k.rows; ++j) {
      row[j] = 0;
      if (!call.problem.sees(i, j)) continue;
      for (Index f = 0; f < call.k.cols; ++f)
        row[j] += feature(call.q(i, f)) * feature(call.k(j, f));
      sum += row[j];
    }
    return sum;
  }
};

SUBQUAD_VARIANT(Linear, {.name = "linear",
                         .summary = "linear attention: features of q and k, elu(x) + 1 or relu",
                         .citation = "arXiv:2006.16236",
                         .time = "n d^2",
                         .memory = "d^2"});

}  // namespace
}  // namespace subquad
