// scatterbrain: exact scores near the query, random features everywhere else, one denominator. Chen
// et al. 2021, "Scatterbrain: unifying sparse and low-rank attention" (arXiv:2110.15343),
// section 4.
//
//   A~   = phi(Q) phi(K)^T + S,  S_ij = exp(s_ij) - phi(q_i) . phi(k_j) on the support, else 0
//   out  = A~ V, rows of A~ divided by their sums,  s_ij = scale q_i . k_j
//   phi(x)_f = exp(w_f . x' - |x'|^2 / 2) / sqrt(features),  x' = sqrt(scale) x,  w_f drawn
//
// The support is a window, |i - j| <= radius, or buckets: queries, and keys, in order of the place
// of their sign bits [x P > 0] in the reflected Gray code, both cut into ceil(n / block) equal
// parts, and a query's part of the keys. So weights are exp(s_ij) on the support and the estimate
// phi(q_i) . phi(k_j) elsewhere, unbiased (Choromanski et al. 2021, arXiv:2009.14794, lemma 1).
// Time O(n (support + features) d), memory O(n + features d).
//
// Different from the paper: far keys are summed without near ones, by states of the keys before and
// after these (kernels/far_attention.h), and merged by log-sum-exp. The paper takes all keys and
// subtracts near ones, which is the same sum but loses all digits where the support holds most of
// it. Its buckets come from LSH as they fall; here they have equal lengths. Directions are
// orthogonal in blocks (arXiv:2009.14794, section 2). Causal, which buckets cannot be: features'
// scales run along with the keys, so that nothing of a later key is touched.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/far_attention.h"
#include "kernels/hamming_kmeans.h"
#include "kernels/hashing.h"
#include "kernels/naive-inl.h"
#include "kernels/random_features.h"
#include "kernels/streaming_softmax.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Support { window, buckets };

class Scatterbrain final : public Variant {
 public:
  Support support = Support::window;
  Index radius = 64;
  Index block = 128;
  Index bits = 7;
  Index features = 64;

  void parameters(Parameters& visit) override {
    visit("support", support, {"window", "buckets"}, "where scores are exact");
    visit("radius", radius, between(0, 1e9), "support=window: keys on either side of the query");
    visit("block", block, at_least(1), "support=buckets: keys of a bucket, at the most");
    visit("bits", bits, between(1, 16), "support=buckets: sign bits of the hash");
    visit("features", features, between(1, 65536), "random features for all other keys");
  }

  Target target(const Problem&) const override { return Target::estimator; }
  std::string exact_when(const Problem& problem) const override {
    return "support=window,radius=" +
           std::to_string(std::max(problem.keys, problem.first_query + problem.queries));
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.score_scale() < 0) return "features take the root of the scale, which is negative";
    const Index last = problem.position(problem.queries - 1);
    if (support == Support::buckets) {
      return problem.causal ? "keys in buckets before a query's own are not those before it" : "";
    }
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
    if (support == Support::window) return;
    visit("planes", {{"dim", problem.dim}, {"bits", bits}}, init::normal(1), Role::random,
          Sharing::head, "random directions, whose signs are hashed");
    visit.choice("query_buckets", {{"queries", problem.queries}}, "bucket of each query");
    visit.choice("key_buckets", {{"keys", problem.keys}}, "bucket of each key");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    if (FarAttention::any(problem, near(problem))) {
      scratch = FarAttention::scratch(problem, features, near(problem));
    }
    const auto at_least_bytes = [&](std::size_t bytes) {
      scratch.worker_bytes = std::max(scratch.worker_bytes, bytes);
    };
    const Index rows = tile_rows(problem);
    const std::size_t softmax = softmax_scratch_bytes(rows, problem.dim, problem.value_dim);
    if (support == Support::window) {
      at_least_bytes(Scratch().worker<KeySpan>(1).worker_bytes + softmax);
    } else {
      at_least_bytes(
          Scratch().worker<std::int32_t>(bucket_length(problem.keys, problem)).worker_bytes +
          softmax);
      at_least_bytes(
          gray_places_scratch_bytes(std::max(problem.queries, problem.keys), problem.dim, bits));
      scratch.shared<std::int32_t>(problem.queries)
          .shared<std::int32_t>(problem.keys)
          .shared<std::int32_t>(std::max(problem.queries, problem.keys))
          .shared<std::int32_t>((Index{1} << bits) + 1);
    }
    return scratch.shared<float>(problem.queries);
  }

  Cost cost(const Problem& problem) const override {
    const double queries = static_cast<double>(problem.queries);
    const double keys = static_cast<double>(problem.keys);
    const double dim = static_cast<double>(problem.dim);
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    const double pairs = near_pairs(problem);
    const double far = FarAttention::multiply_adds(problem, features, near(problem));
    const double planes = support == Support::buckets ? static_cast<double>(bits) * dim : 0;
    return {.useful = {.multiply_adds = pairs * width + far + (queries + keys) * planes,
                       .exponentials = pairs + far / (width + 1)},
            .bytes = sizeof(float) *
                     ((queries + keys) * width + static_cast<double>(features) * dim + planes)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    Arena& arena = call.run.shared();
    const std::span<float> log_sum_exp = arena.take<float>(problem.queries);
    const SoftmaxOperands operands{.q = call.q,
                                   .k = call.k,
                                   .v = call.v,
                                   .out = call.out,
                                   .row_log_sum_exp = log_sum_exp.data(),
                                   .scale = static_cast<float>(problem.score_scale()),
                                   .causal = problem.causal,
                                   .first_query = problem.first_query};
    FarAttention far{call.tensors.matrix("directions"), near(problem), {}, {}};
    if (support == Support::window) {
      attend_window(call, operands);
    } else {
      far.query_order = sort(call, call.q, "query_buckets");
      far.key_order = sort(call, call.k, "key_buckets");
      attend_buckets(call, operands, far);
    }
    far.merge(call, log_sum_exp);
  }

  void reference(const ReferenceCall& call) const override {
    const Features queries(call, call.q), keys(call, call.k);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, queries, keys, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Features queries(call, call.q), keys(call, call.k);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, queries, keys, weights.row(i));
  }

 private:
  NearKeys near(const Problem& problem) const {
    if (support == Support::window) return {.radius = radius};
    return {.blocks = (problem.keys + block - 1) / block};
  }
  /// Tokens of a bucket, at the most, out of so many.
  Index bucket_length(Index tokens, const Problem& problem) const {
    const Index blocks = near(problem).blocks;
    return (tokens + blocks - 1) / blocks;
  }
  Index tile_rows(const Problem& problem) const {
    const Index rows =
        support == Support::window ? problem.queries : bucket_length(problem.queries, problem);
    return softmax_tile_rows(rows, problem.dim, problem.value_dim, Precision::f32);
  }

  double near_pairs(const Problem& problem) const {
    double pairs = 0;
    const NearKeys keys = near(problem);
    for (Index b = 0; b < keys.blocks; ++b) {
      const auto size = [&](Index tokens) {
        return keys.begin_of_block(tokens, b + 1) - keys.begin_of_block(tokens, b);
      };
      pairs += static_cast<double>(size(problem.queries) * size(problem.keys));
    }
    for (Index i = 0; i < problem.queries && keys.blocks == 0; ++i) {
      const Index position = problem.position(i);
      const Index end = std::min((problem.causal ? position : position + radius) + 1, problem.keys);
      pairs += static_cast<double>(std::max<Index>(end - std::max<Index>(position - radius, 0), 0));
    }
    return pairs;
  }

  void attend_window(const Call& call, const SoftmaxOperands& operands) const {
    const Problem& problem = call.problem;
    const Index rows = tile_rows(problem);
    call.run.parallel((problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      const Rows queries{tile * rows, std::min(rows, problem.queries - tile * rows)};
      KeyPlan plan(problem.keys, worker.scratch.take<KeySpan>(1), {});
      plan.band(problem.position(queries.begin) - radius,
                problem.position(queries.last()) + radius + 1, 1, radius, radius);
      streaming_softmax(operands, queries, plan, nullptr, worker);
    });
  }

  /// Tokens by bucket, and in a bucket in their own order; writes the choice tensor.
  std::span<const std::int32_t> sort(const Call& call, ConstView tokens,
                                     std::string_view name) const {
    Arena& arena = call.run.shared();
    const std::span<std::int32_t> order = arena.take<std::int32_t>(tokens.rows);
    const std::size_t mark = arena.used();
    const std::span<std::int32_t> places = arena.take<std::int32_t>(tokens.rows);
    gray_places(tokens, call.tensors.matrix("planes"), places, call.run);
    sort_by_bucket(places, order, arena.take<std::int32_t>((Index{1} << bits) + 1));
    arena.rewind(mark);
    const NearKeys keys = near(call.problem);
    const std::span<std::int32_t> buckets = call.tensors.choices(name);
    for (Index b = 0; b < keys.blocks; ++b) {
      const auto begin = order.begin() + keys.begin_of_block(tokens.rows, b);
      const auto end = order.begin() + keys.begin_of_block(tokens.rows, b + 1);
      std::sort(begin, end);
      for (auto at = begin; at != end; ++at) buckets[*at] = static_cast<std::int32_t>(b);
    }
    return order;
  }

  void attend_buckets(const Call& call, const SoftmaxOperands& operands,
                      const FarAttention& sorted) const {
    const Problem& problem = call.problem;
    const Index most = tile_rows(problem);
    const Index pieces = (bucket_length(problem.queries, problem) + most - 1) / most;
    const auto part = [&](std::span<const std::int32_t> order, Index bucket) {
      const auto count = static_cast<Index>(order.size());
      const Index begin = sorted.near.begin_of_block(count, bucket);
      return order.subspan(
          static_cast<std::size_t>(begin),
          static_cast<std::size_t>(sorted.near.begin_of_block(count, bucket + 1) - begin));
    };
    call.run.parallel(sorted.near.blocks * pieces, [&](Index tile, Worker& worker) {
      const auto begin = static_cast<std::size_t>(tile % pieces * most);
      std::span<const std::int32_t> queries = part(sorted.query_order, tile / pieces);
      if (begin >= queries.size()) return;
      queries = queries.subspan(begin);
      queries = queries.first(std::min(queries.size(), static_cast<std::size_t>(most)));
      KeyPlan plan(problem.keys, {},
                   worker.scratch.take<std::int32_t>(bucket_length(problem.keys, problem)));
      plan.single(part(sorted.key_order, tile / pieces));
      streaming_softmax(operands, Rows::of(queries), plan, nullptr, worker);
    });
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

  bool on_support(const ReferenceCall& call, Index query, Index key) const {
    if (support == Support::window) return std::abs(call.problem.position(query) - key) <= radius;
    return call.tensors.integers("query_buckets")[query] ==
           call.tensors.integers("key_buckets")[key];
  }

  /// One row of A~, divided by its sum.
  void weigh(const ReferenceCall& call, Index query, const Features& queries, const Features& keys,
             double* row) const {
    const Problem& problem = call.problem;
    std::fill_n(row, problem.keys, -INFINITY);
    for (Index j = 0; j < problem.keys; ++j) {
      if (!problem.sees(query, j)) continue;
      if (on_support(call, query, j)) {
        row[j] = naive_score(call, query, j);
      } else {
        double dot = 0;
        for (Index f = 0; f < features; ++f) dot += queries.values[query][f] * keys.values[j][f];
        row[j] = std::log(dot) + queries.logs[query] + keys.logs[j];
      }
    }
    naive_softmax({row, static_cast<std::size_t>(problem.keys)});
  }
};

SUBQUAD_VARIANT(Scatterbrain,
                {.name = "scatterbrain",
                 .summary = "exact in a window or in buckets, random features elsewhere",
                 .citation = "arXiv:2110.15343",
                 .time = "n (radius + features) d",
                 .memory = "n + features d"});

}  // namespace
}  // namespace subquad
