// scatterbrain: exact scores near the query, random features everywhere else, one denominator. Chen
// et al. 2021, "Scatterbrain: unifying sparse and low-rank attention" (arXiv:2110.15343),
// section 4.
//
//   A~   = phi(Q) phi(K)^T + S,  S_ij = exp(s_ij) - phi(q_i) . phi(k_j) on the support, else 0
//   out  = A~ V, rows of A~ divided by their sums,  s_ij = scale q_i . k_j
//   phi(x)_f = exp(w_f . x' - |x'|^2 / 2) / sqrt(features),  x' = sqrt(scale) x,  w_f drawn
//
// The support is a window: |i - j| <= radius. So weights are exp(s_ij) inside it and the estimate
// phi(q_i) . phi(k_j) outside, unbiased (Choromanski et al. 2021, arXiv:2009.14794, lemma 1). Time
// O(n (radius + features) d), memory O(features d).
//
// Different from the paper: far keys are summed without near ones, by states of the keys before and
// after the window (kernels/far_attention.h), and merged with the window by log-sum-exp. The paper
// takes all keys and subtracts near ones, which is the same sum but loses all digits where the
// window holds most of it. The support is a window alone; the paper also takes buckets of LSH.
// Directions are orthogonal in blocks (arXiv:2009.14794, section 3.2). Causal: features' scales run
// along with the keys, so that nothing of a later key is touched.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/far_attention.h"
#include "kernels/random_features.h"
#include "kernels/streaming_softmax.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Scatterbrain final : public Variant {
 public:
  Index radius = 64;
  Index features = 64;

  void parameters(Parameters& visit) override {
    visit("radius", radius, between(0, 1e9), "exact keys on either side of the query");
    visit("features", features, between(1, 65536), "random features for all other keys");
  }

  Target target(const Problem&) const override { return Target::estimator; }
  std::string exact_when(const Problem& problem) const override {
    return "radius=" +
           std::to_string(std::max(problem.keys, problem.first_query + problem.queries));
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.score_scale() < 0) return "features take the root of the scale, which is negative";
    const Index last = problem.position(problem.queries - 1);
    if (last - radius >= problem.keys) {
      return "the last query, at position " + std::to_string(last) + ", has none of the " +
             std::to_string(problem.keys) + " keys within radius " + std::to_string(radius) +
             ": nothing is exact there";
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit("directions", {{"features", features}, {"dim", problem.dim}}, orthogonal_gaussians(),
          Role::random, Sharing::head, "directions w of the random features");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    if (FarAttention::any(problem, radius)) scratch = FarAttention::scratch(problem, features);
    const std::size_t near =
        Scratch().worker<KeySpan>(1).worker_bytes +
        softmax_scratch_bytes(tile_rows(problem), problem.dim, problem.value_dim);
    scratch.worker_bytes = std::max(scratch.worker_bytes, near);
    return scratch.shared<float>(problem.queries);
  }

  Cost cost(const Problem& problem) const override {
    double near = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      const Index last = problem.causal ? problem.position(i) : problem.position(i) + radius;
      const Index end = std::min(last + 1, problem.keys);
      near += static_cast<double>(
          std::max<Index>(end - std::max<Index>(problem.position(i) - radius, 0), 0));
    }
    const double queries = static_cast<double>(problem.queries);
    const double keys = static_cast<double>(problem.keys);
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    const double far = FarAttention::multiply_adds(problem, features, radius);
    return {
        .useful = {.multiply_adds = near * width + far, .exponentials = near + far / (width + 1)},
        .bytes = sizeof(float) * ((queries + keys) * width + static_cast<double>(features) *
                                                                 static_cast<double>(problem.dim))};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const std::span<float> log_sum_exp = call.run.shared().take<float>(problem.queries);
    const SoftmaxOperands operands{.q = call.q,
                                   .k = call.k,
                                   .v = call.v,
                                   .out = call.out,
                                   .row_log_sum_exp = log_sum_exp.data(),
                                   .scale = static_cast<float>(problem.score_scale()),
                                   .causal = problem.causal,
                                   .first_query = problem.first_query};
    const Index rows = tile_rows(problem);
    call.run.parallel((problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      const Rows queries{tile * rows, std::min(rows, problem.queries - tile * rows)};
      KeyPlan plan(problem.keys, worker.scratch.take<KeySpan>(1), {});
      plan.band(problem.position(queries.begin) - radius,
                problem.position(queries.last()) + radius + 1, 1, radius, radius);
      streaming_softmax(operands, queries, plan, nullptr, worker);
    });
    FarAttention{call.tensors.matrix("directions"), radius}.merge(call, log_sum_exp);
  }

  void reference(const ReferenceCall& call) const override {
    const Features queries(call, call.q), keys(call, call.k);
    std::vector<double> row(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      weigh(call, i, queries, keys, row.data());
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index j = 0; j < call.problem.keys; ++j) {
          if (row[j] != 0) call.out(i, c) += row[j] * call.v(j, c);
        }
      }
    }
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Features queries(call, call.q), keys(call, call.k);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, queries, keys, weights.row(i));
  }

 private:
  static Index tile_rows(const Problem& problem) {
    return softmax_tile_rows(problem.queries, problem.dim, problem.value_dim, Precision::f32);
  }

  /// For the reference: features of all rows in double, relative to the largest of each row.
  struct Features {
    std::vector<std::vector<double>> values;
    std::vector<double> logs;

    Features(const ReferenceCall& call, MatrixView<const double> rows) {
      const ConstView directions = call.tensors.matrix("directions");
      const double root = std::sqrt(call.problem.score_scale());
      for (Index i = 0; i < rows.rows; ++i) {
        std::vector<double> row(static_cast<std::size_t>(directions.rows));
        double squares = 0;
        for (Index c = 0; c < rows.cols; ++c) {
          for (Index f = 0; f < directions.rows; ++f) {
            row[f] += root * directions(f, c) * rows(i, c);
          }
          squares += root * root * rows(i, c) * rows(i, c);
        }
        const double largest = *std::max_element(row.begin(), row.end());
        for (double& value : row) value = std::exp(value - largest);
        values.push_back(std::move(row));
        logs.push_back(largest - squares / 2 - std::log(static_cast<double>(directions.rows)) / 2);
      }
    }
  };

  /// One row of A~, divided by its sum.
  void weigh(const ReferenceCall& call, Index query, const Features& queries, const Features& keys,
             double* row) const {
    const Problem& problem = call.problem;
    std::fill_n(row, problem.keys, -INFINITY);
    for (Index j = 0; j < problem.keys; ++j) {
      if (!problem.sees(query, j)) continue;
      double dot = 0;
      if (std::abs(problem.position(query) - j) <= radius) {
        for (Index c = 0; c < call.q.cols; ++c) dot += call.q(query, c) * call.k(j, c);
        row[j] = problem.score_scale() * dot;
      } else {
        for (Index f = 0; f < features; ++f) dot += queries.values[query][f] * keys.values[j][f];
        row[j] = std::log(dot) + queries.logs[query] + keys.logs[j];
      }
    }
    const double largest = *std::max_element(row, row + problem.keys);
    double sum = 0;
    for (Index j = 0; j < problem.keys; ++j) sum += row[j] = std::exp(row[j] - largest);
    for (Index j = 0; j < problem.keys; ++j) row[j] /= sum;
  }
};

SUBQUAD_VARIANT(Scatterbrain,
                {.name = "scatterbrain",
                 .summary = "exact in a window, random features elsewhere, one denominator",
                 .citation = "arXiv:2110.15343",
                 .time = "n (radius + features) d",
                 .memory = "features d"});

}  // namespace
}  // namespace subquad
