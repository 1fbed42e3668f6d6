// rfa: softmax attention of queries and keys of length 1, estimated by trigonometric random
// features. Peng et al. 2021, "Random feature attention" (arXiv:2103.02143), section 3.1; without
// the gate of section 3.2.
//
//   out_i = phi(q_i)^T S_i / phi(q_i)^T z_i
//   S_i = sum over seen j of phi(k_j) v_j^T,   z_i = sum over seen j of phi(k_j)
//   phi(x) = [sin w . x^, cos w . x^] / sqrt(features / 2),   x^ = x / |x|,   w ~ N(0, 1 / sigma^2)
//
// phi(q)^T phi(k) is exp(-|q^ - k^|^2 / (2 sigma^2)) in the mean, a constant times
// exp(q^ . k^ / sigma^2). So this estimates dense attention on q^ and k^, both times 1 / sigma,
// with scores that are not scaled. Time O(n features (d + e)), a state of features (e + 1) numbers.
//
// Different from the paper: sigma is one number and not learned for each coordinate. The authors'
// code takes a constant 0.1 for 1 / sqrt(features / 2) and holds the denominator at 1 or more;
// neither is done here: where weights sum to 0 or less, that is counted. In double, because
// features cancel. A row of length 0 stays 0: right for a query (all weights alike), while a key is
// weighed exp(1 / (2 sigma^2)) times as much as its score of 0 deserves.

#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/feature_attention-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/random_features.h"
#include "kernels/sum_of_squares-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class UnitMap final : public FeatureMap<double> {
 public:
  explicit UnitMap(ConstView directions) : directions_(directions) {}

  Index features(Index) const override { return 2 * directions_.rows; }
  std::size_t scratch_bytes(Index count, Index dim) const override {
    return Scratch().worker<double>(count * dim).worker_bytes +
           trigonometric_features_scratch_bytes(dim);
  }
  void map_queries(ConstView rows, Index, MatrixView<double> features, double*,
                   Worker& worker) const override {
    const std::size_t mark = worker.scratch.used();
    const MatrixView<double> unit(worker.scratch.take<double>(rows.rows * rows.cols).data(),
                                  rows.rows, rows.cols);
    for (Index i = 0; i < rows.rows; ++i) {
      const double squares = sum_of_squares({rows.row(i), static_cast<std::size_t>(rows.cols)});
      const double factor = squares == 0 ? 0 : 1 / std::sqrt(squares);
      for (Index c = 0; c < rows.cols; ++c) unit(i, c) = factor * rows(i, c);
    }
    trigonometric_features(unit, directions_, features, worker);
    worker.scratch.rewind(mark);
  }
  void map_keys(ConstView rows, Index first, MatrixView<double> features, double* logs,
                Worker& worker) const override {
    map_queries(rows, first, features, logs, worker);
  }

 private:
  ConstView directions_;  ///< [features / 2, dim]
};

class Rfa final : public FeatureAttention<Rfa, double> {
 public:
  Index features = 256;
  double sigma = 1;

  void parameters(Parameters& visit) override {
    visit("features", features, between(2, 65536), "sines and cosines, the width of the map");
    visit("sigma", sigma, between(0.01, 100), "directions are drawn from N(0, 1 / sigma^2)");
  }

  Target target(const Problem&) const override { return Target::estimator; }
  std::string dense_target(const Problem&) const override {
    char length[32];
    const auto end = std::to_chars(length, length + sizeof length, 1 / sigma).ptr;
    return "dense(length=" + std::string(length, end) + ",scale=none)";
  }
  std::string refuses(const Problem&) const override {
    if (features % 2 == 0) return {};
    return "a direction has two features, so features must be even, not " +
           std::to_string(features);
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit("directions", {{"directions", features / 2}, {"dim", problem.dim}},
          init::normal(1 / sigma), Role::random, Sharing::head,
          "directions w of the random features");
  }

  Cost cost(const Problem& problem) const override {
    const double projected = static_cast<double>(features / 2 * problem.dim);
    const double rows = static_cast<double>(problem.queries + mapped_keys(problem));
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    return {.useful = {.multiply_adds = rows * projected + kernel_multiply_adds(problem),
                       .exponentials = rows * static_cast<double>(features)},
            .bytes = sizeof(float) * (rows * width + projected)};
  }

  UnitMap map(const Problem& problem, const Tensors* tensors) const {
    const ConstView shape(nullptr, features / 2, problem.dim);  // of which nothing is read
    return UnitMap(tensors == nullptr ? shape : tensors->matrix("directions"));
  }
  LinearAttention<double> kernel(const FeatureMap<double>& map) const {
    return {.map = map, .chunk = chunk};
  }

  void reference(const ReferenceCall& call) const override {
    const Phases q = phases(call, call.q), k = phases(call, call.k);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, q, k, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Phases q = phases(call, call.q), k = phases(call, call.k);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, q, k, weights.row(i));
  }

 private:
  using Phases = std::vector<std::vector<double>>;

  /// w . x^ for all rows x and directions w.
  static Phases phases(const ReferenceCall& call, MatrixView<const double> rows) {
    const ConstView w = call.tensors.matrix("directions");
    Phases found(static_cast<std::size_t>(rows.rows));
    for (Index i = 0; i < rows.rows; ++i) {
      double squares = 0;
      for (Index c = 0; c < rows.cols; ++c) squares += rows(i, c) * rows(i, c);
      for (Index f = 0; f < w.rows; ++f) {
        double product = 0;
        for (Index c = 0; c < rows.cols; ++c) product += w(f, c) * rows(i, c);
        found[i].push_back(squares == 0 ? 0 : product / std::sqrt(squares));
      }
    }
    return found;
  }

  /// sin a sin b + cos a cos b = cos(a - b); constant factors cancel.
  static void weigh(const ReferenceCall& call, Index i, const Phases& q, const Phases& k,
                    double* row) {
    double sum = 0;
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = 0;
      if (!call.problem.sees(i, j)) continue;
      for (std::size_t f = 0; f < q[i].size(); ++f) row[j] += std::cos(q[i][f] - k[j][f]);
      sum += row[j];
    }
    for (Index j = 0; j < call.problem.keys; ++j) row[j] /= sum;
  }
};

SUBQUAD_VARIANT(Rfa, {.name = "rfa",
                      .summary = "random feature attention: sines and cosines of unit q and k",
                      .citation = "arXiv:2103.02143",
                      .time = "n features d",
                      .memory = "features d"});

}  // namespace
}  // namespace subquad
