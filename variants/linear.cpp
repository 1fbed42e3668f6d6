// linear: attention with a kernel that is an inner product of features, so that the order of the
// products can be turned round. Katharopoulos et al. 2020, "Transformers are RNNs"
// (arXiv:2006.16236), section 3.2, equations 4 to 7; causal: section 3.3, equations 8 to 12;
// decoding: section 3.4, equations 16 to 20.
//
//   out_i = phi(q_i)^T S_i / norm_i
//   S_i = sum over seen j of phi(k_j) v_j^T,   z_i = sum over seen j of phi(k_j)
//
// phi is elu(x) + 1, or relu, element by element, and norm_i = phi(q_i)^T z_i + 1e-6; or phi is the
// identity, which leaves (V K^T) Q: softmax left out, and with it the bound on what a weight may
// be, so that their sum may be anything, 0 too. There norm_i is the number of seen keys, or 1.
// Time O(n d e), a state of d e + d numbers. The scores' scale is not applied, as in the paper and
// its code: phi is not homogeneous, and training would take the scale up in the projections.
//
// Different from the paper: causal rows are not one prefix sum after the other but chunks, with the
// state carried between them and a triangular product inside (kernels/linear_attention.h); the same
// sums in another order. The 1e-6 in the denominator is the authors' code's, not the paper's: where
// relu leaves a query no feature at all, the output is 0.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/feature_attention-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/rowwise.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Feature { elu, relu, identity };
enum class Divide { weights, count, none };
constexpr double kEpsilon = 1e-6;

class ElementwiseMap final : public FeatureMap<float> {
 public:
  explicit ElementwiseMap(Feature feature) : feature_(feature) {}

  Index features(Index dim) const override { return dim; }
  void map_queries(ConstView rows, Index, View features, float*, Worker& worker) const override {
    if (feature_ == Feature::elu) {
      elu_plus_one(rows, features);
      worker.executed.exponentials += static_cast<double>(rows.rows * rows.cols);
      return;
    }
    const bool is_relu = feature_ == Feature::relu;
    for (Index i = 0; i < rows.rows; ++i) {
      for (Index c = 0; c < rows.cols; ++c) {
        features(i, c) = is_relu ? std::max(rows(i, c), 0.0f) : rows(i, c);
      }
    }
  }
  void map_keys(ConstView rows, Index first, View features, float* logs,
                Worker& worker) const override {
    map_queries(rows, first, features, logs, worker);
  }

 private:
  Feature feature_;
};

class Linear final : public FeatureAttention<Linear, float> {
 public:
  Feature feature_map = Feature::elu;
  Divide normaliser = Divide::weights;

  void parameters(Parameters& visit) override {
    visit("feature_map", feature_map, {"elu", "relu", "identity"},
          "feature of each element: elu(x) + 1, relu(x), x");
    visit("normaliser", normaliser, {"weights", "count", "none"},
          "what sums are divided by: the sum of weights, the number of keys, nothing");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem&) const override {
    if (feature_map != Feature::identity || normaliser != Divide::weights) return {};
    return "feature_map=identity makes weights of both signs, whose sum may be 0: "
           "normaliser=count or none";
  }

  Cost cost(const Problem& p) const override {
    const double queries = static_cast<double>(p.queries), keys = static_cast<double>(p.keys);
    const double features =
        (queries + static_cast<double>(mapped_keys(p))) * static_cast<double>(p.dim);
    return {
        .useful = {.multiply_adds = kernel_multiply_adds(p),
                   .exponentials = feature_map == Feature::elu ? features : 0},
        .bytes = sizeof(float) * (features + (queries + keys) * static_cast<double>(p.value_dim))};
  }

  ElementwiseMap map(const Problem&, const Tensors*) const { return ElementwiseMap(feature_map); }
  LinearAttention<float> kernel(const FeatureMap<float>& map) const {
    constexpr Normaliser kNormalisers[] = {Normaliser::weights, Normaliser::count,
                                           Normaliser::none};
    return {.map = map,
            .chunk = chunk,
            .normaliser = kNormalisers[static_cast<int>(normaliser)],
            .epsilon = kEpsilon};
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, weights.row(i));
  }

 private:
  double feature(double x) const {
    if (feature_map == Feature::identity) return x;
    if (feature_map == Feature::relu) return std::max(x, 0.0);
    return x > 0 ? x + 1 : std::exp(x);
  }

  /// phi(q_i)^T phi(k_j) / norm_i of the seen keys, 0 elsewhere.
  void weigh(const ReferenceCall& call, Index i, double* row) const {
    double sum = 0, seen = 0;
    for (Index j = 0; j < call.k.rows; ++j) {
      row[j] = 0;
      if (!call.problem.sees(i, j)) continue;
      for (Index f = 0; f < call.k.cols; ++f) {
        row[j] += feature(call.q(i, f)) * feature(call.k(j, f));
      }
      sum += row[j];
      ++seen;
    }
    const double norm = normaliser == Divide::weights ? sum + kEpsilon
                        : normaliser == Divide::count ? seen
                                                      : 1;
    for (Index j = 0; j < call.k.rows; ++j) row[j] /= norm;
  }
};

SUBQUAD_VARIANT(Linear, {.name = "linear",
                         .summary = "linear attention: features of q and k, elu(x) + 1, relu or x",
                         .citation = "arXiv:2006.16236",
                         .time = "n d^2",
                         .memory = "d^2"});

}  // namespace
}  // namespace subquad
