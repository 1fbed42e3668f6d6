// performer: softmax attention estimated by random features (FAVOR+). Choromanski et al. 2021,
// "Rethinking attention with Performers" (arXiv:2009.14794), sections 2.2 to 2.4.
//
//   out_i = phi(q_i)^T S_i / phi(q_i)^T z_i
//   S_i = sum over seen j of phi(k_j) v_j^T,   z_i = sum over seen j of phi(k_j)
//
// With x' = sqrt(scale) x and random directions w, phi(x)^T phi(y) is exp(x' . y') in the mean:
//   positive:      exp(w . x' - |x'|^2 / 2) / sqrt(features)                    (lemma 1)
//   hyperbolic:    the same for w and -w, features / 2 directions               (lemma 1)
//   trigonometric: exp(|x'|^2 / 2) [sin w . x', cos w . x'] / sqrt(features / 2)  (section 2.3)
// and relu is an operation of its own: (relu(w . x') + epsilon) / sqrt(features)  (section 2.2).
// Time O(n features (d + e)), a state of features (e + 1) numbers.
//
// Directions are Gaussian: orthogonal in blocks of d, each with the length of a Gaussian row
// (section 2.4), or independent. Regularised ones have length sqrt(d) (section 2.3), which leaves a
// bias that no number of features takes away (theorem 1): an operation too.
//
// Different from the paper: exponentials are not stabilised by one maximum over all keys, nor is
// 1e-4 added to them, which lets later keys into earlier rows; the kernel holds each feature
// relative to its largest so far (kernels/linear_attention.h). Trigonometric features are in
// double, because they cancel: their weights may sum to 0 or less, which is counted. The authors'
// code has no 1 / sqrt(features) with relu; it cancels here as well.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/linear_attention.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/random_features.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Features { positive, hyperbolic, trigonometric, relu };
enum class Directions { orthogonal, iid, regularised };

/// Maps queries and keys alike.
template <class T>
class SameMap : public FeatureMap<T> {
 public:
  using Scalar = T;

  SameMap(ConstView directions, double root) : directions_(directions), root_(root) {}

  void map_queries(ConstView rows, Index, MatrixView<T> features, T* logs,
                   Worker& worker) const override {
    map(rows, features, logs, worker);
  }
  void map_keys(ConstView rows, Index, MatrixView<T> features, T* logs,
                Worker& worker) const override {
    map(rows, features, logs, worker);
  }

 protected:
  virtual void map(ConstView rows, MatrixView<T> features, T* logs, Worker& worker) const = 0;

  ConstView directions_;  ///< [directions, dim]
  double root_;           ///< of the scale
};

/// Positive and hyperbolic.
class PositiveMap final : public SameMap<float> {
 public:
  PositiveMap(ConstView directions, double root, bool hyperbolic)
      : SameMap(directions, root), signs_(hyperbolic ? 2 : 1) {}

  Index features(Index) const override { return signs_ * directions_.rows; }
  FeatureScale scale() const override { return FeatureScale::feature; }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    return positive_features_scratch_bytes(count, dim, directions_.rows);
  }

 private:
  void map(ConstView rows, View features, float*, Worker& worker) const override {
    positive_exponents(rows, directions_, root_, features, worker);
  }

  Index signs_;
};

class TrigonometricMap final : public SameMap<double> {
 public:
  using SameMap::SameMap;

  Index features(Index) const override { return 2 * directions_.rows; }
  FeatureScale scale() const override { return FeatureScale::row; }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    return Scratch().worker<double>(count * dim).worker_bytes +
           trigonometric_features_scratch_bytes(dim);
  }

 private:
  void map(ConstView rows, MatrixView<double> features, double* logs,
           Worker& worker) const override {
    const std::size_t mark = worker.scratch.used();
    const MatrixView<double> scaled(worker.scratch.take<double>(rows.rows * rows.cols).data(),
                                    rows.rows, rows.cols);
    for (Index i = 0; i < rows.rows; ++i) {
      double squares = 0;
      for (Index c = 0; c < rows.cols; ++c) {
        scaled(i, c) = root_ * rows(i, c);
        squares += scaled(i, c) * scaled(i, c);
      }
      logs[i] = squares / 2;
    }
    trigonometric_features(scaled, directions_, features, worker);
    worker.scratch.rewind(mark);
  }
};

class ReluMap final : public SameMap<float> {
 public:
  ReluMap(ConstView directions, double root, double epsilon)
      : SameMap(directions, root), epsilon_(epsilon) {}

  Index features(Index) const override { return directions_.rows; }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    return product_scratch_bytes(count, directions_.rows, dim);
  }

 private:
  void map(ConstView rows, View features, float*, Worker& worker) const override {
    const double factor = 1 / std::sqrt(static_cast<double>(features.cols));
    multiply_transposed(rows, directions_, features, worker, static_cast<float>(root_ * factor));
    const float added = static_cast<float>(epsilon_ * factor);
    for (Index i = 0; i < features.rows; ++i) {
      float* const row = features.row(i);
      for (Index f = 0; f < features.cols; ++f) row[f] = std::max(row[f], 0.0f) + added;
    }
  }

  double epsilon_;
};

class Performer final : public Variant {
 public:
  Features map = Features::positive;
  Index features = 256;
  Directions directions = Directions::orthogonal;
  double epsilon = 1e-3;
  Index chunk = 64;

  void parameters(Parameters& visit) override {
    visit("map", map, {"positive", "hyperbolic", "trigonometric", "relu"},
          "features: exp(w . x), exp(+-w . x), sine and cosine of w . x, relu(w . x)");
    visit("features", features, between(1, 65536), "random features, the width of the map");
    visit(
        "directions", directions, {"orthogonal", "iid", "regularised"},
        "Gaussian and orthogonal in blocks of dim, independent, or orthogonal of length sqrt(dim)");
    visit("epsilon", epsilon, between(1e-6, 1e3), "map=relu: added to each feature");
    visit("chunk", chunk, between(1, 4096),
          "rows handled by one matrix product; changes no result");
  }

  Target target(const Problem&) const override {
    return map == Features::relu || directions == Directions::regularised ? Target::operation
                                                                          : Target::estimator;
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.score_scale() < 0) return "features take the root of the scale, which is negative";
    if (per_direction() == 2 && features % 2 != 0) {
      return std::string("map=") + (map == Features::hyperbolic ? "hyperbolic" : "trigonometric") +
             " has two features per direction, so features must be even, not " +
             std::to_string(features);
    }
    return {};
  }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit("directions", {{"directions", features / per_direction()}, {"dim", problem.dim}},
          initialiser(), Role::random, Sharing::head, "directions w of the random features");
  }

  Scratch scratch(const Problem& problem) const override {
    return with_map(problem, shape_of(problem),
                    [&](const auto& phi) { return kernel(phi).scratch(problem); });
  }

  Cost cost(const Problem& problem) const override {
    const ConstView w = shape_of(problem);
    const double projected = static_cast<double>(w.rows) * static_cast<double>(w.cols);
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    const double exponentials = map == Features::relu ? 0 : rows * static_cast<double>(features);
    const double sums =
        with_map(problem, w, [&](const auto& phi) { return kernel(phi).multiply_adds(problem); });
    return {.useful = {.multiply_adds = rows * projected + sums, .exponentials = exponentials},
            .bytes = sizeof(float) * (rows * width + projected)};
  }

  void forward(const Call& call) const override {
    with_map(call.problem, call.tensors.matrix("directions"),
             [&](const auto& phi) { kernel(phi).forward(call); });
  }
  std::size_t prepared_bytes(const Problem& problem) const override {
    return with_map(problem, shape_of(problem),
                    [&](const auto& phi) { return kernel(phi).prepared_bytes(problem); });
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    with_map(call.problem, call.tensors.matrix("directions"),
             [&](const auto& phi) { kernel(phi).prepare(call, prepared); });
  }
  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    return with_map(problem, tensors.matrix("directions"), [&](const auto& phi) {
      using Map = std::decay_t<decltype(phi)>;
      const auto kept = std::make_shared<const Map>(phi);
      return linear_stream<typename Map::Scalar>(kept, nullptr, kernel(*kept), problem);
    });
  }

  void reference(const ReferenceCall& call) const override {
    const NaiveFeatures q = naive(call, call.q), k = naive(call, call.k);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, q, k, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const NaiveFeatures q = naive(call, call.q), k = naive(call, call.k);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, q, k, weights.row(i));
  }

 private:
  /// Features of rows, in double: their logarithms where they are exponentials.
  struct NaiveFeatures {
    std::vector<std::vector<double>> rows;
    std::vector<double> logs;  ///< |x'|^2 / 2
  };

  Index per_direction() const {
    return map == Features::hyperbolic || map == Features::trigonometric ? 2 : 1;
  }
  Initialiser initialiser() const {
    if (directions == Directions::iid) return init::normal(1);
    return directions == Directions::regularised ? orthogonal_of_one_length()
                                                 : orthogonal_gaussians();
  }
  /// Directions of which nothing but their number is read.
  ConstView shape_of(const Problem& problem) const {
    return {nullptr, features / per_direction(), problem.dim};
  }

  /// use(the feature map of the parameters).
  template <class Use>
  std::invoke_result_t<Use, const PositiveMap&> with_map(const Problem& problem, ConstView w,
                                                         const Use& use) const {
    const double root = std::sqrt(problem.score_scale());
    if (map == Features::relu) return use(ReluMap(w, root, epsilon));
    if (map == Features::trigonometric) return use(TrigonometricMap(w, root));
    return use(PositiveMap(w, root, map == Features::hyperbolic));
  }
  template <class T>
  LinearAttention<T> kernel(const FeatureMap<T>& phi) const {
    return {.map = phi, .chunk = chunk};
  }
  NaiveFeatures naive(const ReferenceCall& call, MatrixView<const double> rows) const {
    const ConstView w = call.tensors.matrix("directions");
    const double root = std::sqrt(call.problem.score_scale());
    NaiveFeatures found;
    for (Index i = 0; i < rows.rows; ++i) {
      std::vector<double> row;
      double log = 0;
      for (Index c = 0; c < rows.cols; ++c) log += root * rows(i, c) * root * rows(i, c) / 2;
      for (Index f = 0; f < features; ++f) {
        double product = 0;
        for (Index c = 0; c < rows.cols; ++c) product += w(f % w.rows, c) * root * rows(i, c);
        row.push_back(naive_feature(f < w.rows, product, log));
      }
      found.rows.push_back(std::move(row));
      found.logs.push_back(log);
    }
    return found;
  }

  /// `first`: of the first half, where a direction has two features. Constant factors cancel.
  double naive_feature(bool first, double product, double log) const {
    switch (map) {
      case Features::positive:
        return product - log;
      case Features::hyperbolic:
        return (first ? product : -product) - log;
      case Features::trigonometric:
        return first ? std::sin(product) : std::cos(product);
      case Features::relu:
        return std::max(product, 0.0) + epsilon;
    }
    return 0;
  }

  void weigh(const ReferenceCall& call, Index i, const NaiveFeatures& q, const NaiveFeatures& k,
             double* row) const {
    const std::span<double> weights(row, static_cast<std::size_t>(call.problem.keys));
    if (map == Features::positive || map == Features::hyperbolic) {
      weigh_exponents(call, i, q, k, weights);
    } else {
      weigh_features(call, i, q, k, weights);
    }
  }

  /// From logarithms: phi(q_i)^T phi(k_j) is a sum of exponentials.
  void weigh_exponents(const ReferenceCall& call, Index i, const NaiveFeatures& q,
                       const NaiveFeatures& k, std::span<double> weights) const {
    for (Index j = 0; j < call.problem.keys; ++j) {
      weights[j] = -std::numeric_limits<double>::infinity();
      if (!call.problem.sees(i, j)) continue;
      std::vector<double> exponents = k.rows[j];
      for (Index f = 0; f < features; ++f) exponents[f] += q.rows[i][f];
      weights[j] = naive_softmax(exponents);
    }
    naive_softmax(weights);
  }

  void weigh_features(const ReferenceCall& call, Index i, const NaiveFeatures& q,
                      const NaiveFeatures& k, std::span<double> weights) const {
    double largest = 0, sum = 0;
    for (Index j = 0; j < call.problem.keys; ++j) {
      if (call.problem.sees(i, j)) largest = std::max(largest, k.logs[j]);
    }
    for (Index j = 0; j < call.problem.keys; ++j) {
      weights[j] = 0;
      if (!call.problem.sees(i, j)) continue;
      for (Index f = 0; f < features; ++f) weights[j] += q.rows[i][f] * k.rows[j][f];
      if (map == Features::trigonometric) weights[j] *= std::exp(k.logs[j] - largest);
      sum += weights[j];
    }
    for (double& weight : weights) weight /= sum;
  }
};

SUBQUAD_VARIANT(Performer, {.name = "performer",
                            .summary = "softmax attention estimated by random features (FAVOR+)",
                            .citation = "arXiv:2009.14794",
                            .time = "n features d",
                            .memory = "features d"});

}  // namespace
}  // namespace subquad
