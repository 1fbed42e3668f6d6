// routing: queries and keys that are near the same learned centroid attend to one another. Roy et
// al. 2021, "Efficient content-based sparse attention with routing transformers"
// (arXiv:2003.05997), section 4.1.
//
//   q' = layer norm of q (no scale, no bias), k' likewise;  centroids mu_c of length 1
//   Q_c = the w queries of largest mu_c . q',  K_c = the w keys of largest mu_c . k'
//   out_i = average over the c with i in Q_c of  sum over j in K_c, j <= i where causal, of
//           softmax_j(scale q_i . k_j) v_j
//
// Every centroid takes as many, so that work is balanced; a token may be in several clusters or in
// none. qk=shared: k_j = q_j / |q_j| and K_c = Q_c, the paper's causal form. `window` is w, by
// default n / clusters, and `clusters` the square root of n: time O(n^1.5 d), memory O(n d).
//
// Centroids are no parameters that gradients train: `calibrate` learns them by spherical k-means,
// with the means running over sample windows (decay 0.999). forward changes nothing.
//
// Different from the paper. Layer norm decides the routing alone, scores are those of the given
// queries and keys, so that it is a restriction of dense attention on the same inputs; shared keys
// have length 1, since a token's own score would dwarf all others. A query that no centroid takes,
// or that sees none of the keys there, sees the key at its own position (unrouted=self); the
// authors' code leaves zeros (unrouted=zero). The paper gives half the heads a local window, which
// an expression can do. Which tokens a centroid takes is decided by all of them, later ones
// included, so earlier queries' keys are causal but their choice is not.

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/group_attention.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/top_k.h"
#include "subquad/eigen.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Qk { separate, shared };
enum class Unrouted { self, zero };

/// Centroids whose scores are computed together.
constexpr Index kCentroids = 32;
/// Rows that a tile normalises.
constexpr Index kRows = 256;
/// Of `calibrate`: what a mean keeps from one window to the next, and how often all windows pass.
constexpr double kDecay = 0.999;
constexpr int kSweeps = 10;

/// Layer norm without scale and bias; zeros for a constant row.
void layer_norm(const float* from, Index dim, float* to) {
  const Eigen::Map<const Eigen::ArrayXf> row(from, dim);
  Eigen::Map<Eigen::ArrayXf> normed(to, dim);
  normed = row - row.mean();
  const float squares = normed.square().sum();
  normed *= squares == 0 ? 0 : std::sqrt(static_cast<float>(dim) / squares);
}

/// Scaled to length 1; zeros stay.
template <class From, class To>
void unit_row(const From* from, Index dim, To* to) {
  double squares = 0;
  for (Index c = 0; c < dim; ++c) squares += double{from[c]} * from[c];
  const double factor = squares == 0 ? 0 : 1 / std::sqrt(squares);
  for (Index c = 0; c < dim; ++c) to[c] = static_cast<To>(from[c] * factor);
}

class Routing final : public Variant {
 public:
  Index clusters = 0;
  Index window = 0;
  Qk qk = Qk::separate;
  Unrouted unrouted = Unrouted::self;

  void parameters(Parameters& visit) override {
    visit("clusters", clusters, at_least(0), "centroids; 0: the square root of the length");
    visit("window", window, at_least(0),
          "queries, and keys, that each centroid takes; 0: length / clusters");
    visit("qk", qk, {"separate", "shared"}, "keys are K, or the queries scaled to length 1");
    visit("unrouted", unrouted, {"self", "zero"},
          "what a query without a centroid sees: its own position, or nothing");
  }

  Target target(const Problem&) const override { return Target::restriction; }
  std::string dense_target(const Problem&) const override {
    return qk == Qk::shared ? "dense(keys=normalised_queries)" : "dense";
  }
  std::string exact_when(const Problem&) const override { return "clusters=1,window=0"; }
  Consumes consumes() const override { return {.k = qk == Qk::separate}; }
  /// Over the keys that a query sees in any of its clusters: what dropped mass is about.
  bool gives_log_sum_exp() const override { return true; }
  std::string refuses(const Problem& problem) const override {
    if (qk == Qk::shared && !problem.self_attention()) {
      return "qk=shared needs as many queries as keys, and the first query to be the first key";
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Index count = cluster_count(problem);
    visit("centroids", {{"clusters", count}, {"dim", problem.dim}},
          init::custom(
              "normal, each row scaled to length 1",
              std::function<void(Generator&, const Shape&, std::span<float>)>(
                  [dim = problem.dim](Generator& random, const Shape&, std::span<float> rows) {
                    random.normals(rows);
                    for (std::size_t at = 0; at < rows.size(); at += dim) {
                      unit_row(&rows[at], dim, &rows[at]);
                    }
                  })),
          Role::running, Sharing::head, "directions that tokens are routed by",
          fit::iterative("spherical k-means over the layer-normed tokens, from those drawn"));
    visit.choice("query_members",
                 {{"clusters", count}, {"queries", taken(problem.queries, problem)}},
                 "queries (qk=shared: tokens) that each centroid takes, ascending");
    if (qk == Qk::shared) return;
    visit.choice("key_members", {{"clusters", count}, {"keys", taken(problem.keys, problem)}},
                 "keys that each centroid takes, ascending");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index longest = std::max(problem.queries, problem.keys);
    const Index centroids = std::min(kCentroids, cluster_count(problem));
    const std::size_t product = product_scratch_bytes(centroids, longest, problem.dim);
    const Scratch routing = Scratch()
                                .worker<float>(centroids * longest)
                                .worker<std::int32_t>(longest)
                                .worker<std::byte>(static_cast<Index>(product));
    Scratch scratch = kernel(problem).scratch(problem);
    scratch.worker_bytes = std::max(scratch.worker_bytes, routing.worker_bytes);
    return scratch.shared<float>(longest * problem.dim);
  }

  /// At the most: clusters may overlap, and how many queries are in none is up to the data.
  Cost cost(const Problem& problem) const override {
    const double dim = static_cast<double>(problem.dim);
    const double value_dim = static_cast<double>(problem.value_dim);
    const double queries = static_cast<double>(problem.queries);
    const double keys = static_cast<double>(problem.keys);
    const double routed = queries + (qk == Qk::separate ? keys : 0);
    const double centroids = static_cast<double>(cluster_count(problem));
    const double pairs = centroids * static_cast<double>(taken(problem.queries, problem)) *
                             static_cast<double>(taken(problem.keys, problem)) +
                         (unrouted == Unrouted::self ? queries : 0);
    return {
        .useful = {.multiply_adds = pairs * (dim + value_dim) + routed * centroids * dim,
                   .exponentials = pairs},
        .bytes = sizeof(float) * (routed * dim + (queries + keys) * value_dim + centroids * dim),
        .exact = false};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const View rows =
        call.run.shared().take_matrix(std::max(problem.queries, problem.keys), problem.dim);
    const std::span<std::int32_t> queries = call.tensors.choices("query_members");
    route(call, call.q, rows, queries);
    if (qk == Qk::shared) {
      map_rows(call, call.q, rows, unit_row<float, float>);
      kernel(problem).forward(call, rows, queries, queries);
      return;
    }
    const std::span<std::int32_t> keys = call.tensors.choices("key_members");
    route(call, call.k, rows, keys);
    kernel(problem).forward(call, call.k, queries, keys);
  }

  void reference(const ReferenceCall& call) const override {
    const std::vector<std::vector<Index>> found = clusters_of_queries(call);
    naive_outputs(call, [&](Index i, double* row) { average(call, i, found[i], row); });
    for (Index i = 0; i < call.problem.queries && call.row_log_sum_exp != nullptr; ++i) {
      call.row_log_sum_exp[i] = union_log_sum_exp(call, i, found[i]);
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const std::vector<std::vector<Index>> found = clusters_of_queries(call);
    for (Index i = 0; i < weights.rows; ++i) average(call, i, found[i], weights.row(i));
  }

  /// Spherical k-means over the layer-normed rows of all windows, from the centroids as they are;
  /// a centroid that is nearest to no row stays where it was.
  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    const View centroids = tensors.writable("centroids");
    std::vector<double> sums(static_cast<std::size_t>(centroids.rows * problem.dim));
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (const Window& window : windows) {
        for (double& sum : sums) sum *= kDecay;
        add_nearest(window.q, centroids, sums);
        if (qk == Qk::separate) add_nearest(window.k, centroids, sums);
        for (Index c = 0; c < centroids.rows; ++c) {
          const double* const sum = &sums[c * problem.dim];
          const bool none = std::all_of(sum, sum + problem.dim, [](double x) { return x == 0; });
          if (!none) unit_row(sum, problem.dim, centroids.row(c));
        }
      }
    }
  }

 private:
  Index cluster_count(const Problem& problem) const {
    if (clusters > 0) return clusters;
    const double length = static_cast<double>(std::max(problem.queries, problem.keys));
    return std::max<Index>(1, static_cast<Index>(std::lround(std::sqrt(length))));
  }
  /// How many of so many tokens a centroid takes.
  Index taken(Index tokens, const Problem& problem) const {
    const Index count = cluster_count(problem);
    return std::min(window > 0 ? window : (tokens + count - 1) / count, tokens);
  }
  GroupAttention kernel(const Problem& problem) const {
    return {.groups = cluster_count(problem),
            .group_queries = taken(problem.queries, problem),
            .group_keys = taken(problem.keys, problem),
            .self_if_alone = unrouted == Unrouted::self,
            .scale = problem.score_scale()};
  }

  template <class Map>
  static void map_rows(const Call& call, ConstView from, View to, Map map) {
    call.run.parallel((from.rows + kRows - 1) / kRows, [&](Index tile, Worker&) {
      const Index end = std::min((tile + 1) * kRows, from.rows);
      for (Index i = tile * kRows; i < end; ++i) map(from.row(i), from.cols, to.row(i));
    });
  }

  /// Writes which of `tokens` each centroid takes; `normed` is memory for their layer norms.
  void route(const Call& call, ConstView tokens, View normed,
             std::span<std::int32_t> members) const {
    map_rows(call, tokens, normed, layer_norm);
    normed = normed.row_range(0, tokens.rows);
    const ConstView centroids = call.tensors.matrix("centroids");
    const Index tiles = (centroids.rows + kCentroids - 1) / kCentroids;
    const auto count = members.size() / static_cast<std::size_t>(centroids.rows);
    call.run.parallel(tiles, [&](Index tile, Worker& worker) {
      const Index begin = tile * kCentroids, rows = std::min(kCentroids, centroids.rows - begin);
      const View scores = worker.scratch.take_matrix(rows, tokens.rows);
      const std::span<std::int32_t> order = worker.scratch.take<std::int32_t>(tokens.rows);
      multiply_transposed(centroids.row_range(begin, rows), normed, scores, worker);
      for (Index i = 0; i < rows; ++i) {
        choose_largest({scores.row(i), order.size()}, order,
                       members.subspan(static_cast<std::size_t>(begin + i) * count, count));
      }
    });
  }

  /// For the reference: the clusters that took each query.
  std::vector<std::vector<Index>> clusters_of_queries(const ReferenceCall& call) const {
    std::vector<std::vector<Index>> found(static_cast<std::size_t>(call.problem.queries));
    const auto members = call.tensors.integers("query_members");
    const Index count = taken(call.problem.queries, call.problem);
    for (std::size_t at = 0; at < members.size(); ++at) {
      found[members[at]].push_back(static_cast<Index>(at) / count);
    }
    return found;
  }

  /// Weights of one query: the average of its clusters' softmaxes.
  void average(const ReferenceCall& call, Index query, const std::vector<Index>& found,
               double* row) const {
    const Index keys = call.problem.keys, own = call.problem.position(query);
    const Index count = taken(keys, call.problem);
    const auto members = call.tensors.integers(qk == Qk::shared ? "query_members" : "key_members");
    std::fill_n(row, keys, 0.0);
    double softmaxes = 0;
    for (const Index cluster : found) {
      softmaxes += add_softmax(call, query,
                               members.subspan(static_cast<std::size_t>(cluster * count),
                                               static_cast<std::size_t>(count)),
                               row);
    }
    for (Index j = 0; j < keys && softmaxes > 0; ++j) row[j] /= softmaxes;
    if (softmaxes == 0 && unrouted == Unrouted::self && own < keys) row[own] = 1;
  }

  double score(const ReferenceCall& call, Index query, Index key) const {
    const double* const row = qk == Qk::shared ? call.q.row(key) : call.k.row(key);
    double dot = 0, squares = 0;
    for (Index c = 0; c < call.q.cols; ++c) {
      dot += call.q(query, c) * row[c];
      squares += row[c] * row[c];
    }
    if (qk == Qk::shared) dot = squares == 0 ? 0 : dot / std::sqrt(squares);
    return call.problem.score_scale() * dot;
  }

  /// For the reference: over the keys that a query sees in at least one of its clusters.
  double union_log_sum_exp(const ReferenceCall& call, Index query,
                           const std::vector<Index>& found) const {
    const Index count = taken(call.problem.keys, call.problem), own = call.problem.position(query);
    const auto members = call.tensors.integers(qk == Qk::shared ? "query_members" : "key_members");
    std::vector<bool> seen(static_cast<std::size_t>(call.problem.keys));
    for (const Index cluster : found) {
      for (Index at = cluster * count; at < (cluster + 1) * count; ++at) {
        seen[members[at]] = call.problem.sees(query, members[at]);
      }
    }
    const bool alone = std::find(seen.begin(), seen.end(), true) == seen.end();
    if (alone && unrouted == Unrouted::self && own < call.problem.keys) seen[own] = true;
    std::vector<double> scores;
    for (Index j = 0; j < call.problem.keys; ++j) {
      if (seen[j]) scores.push_back(score(call, query, j));
    }
    return scores.empty() ? -INFINITY : naive_softmax(scores);
  }

  /// Adds the softmax over those of `keys` that the query sees; returns whether there are any.
  bool add_softmax(const ReferenceCall& call, Index query, std::span<const std::int32_t> keys,
                   double* row) const {
    std::vector<double> scores(keys.size(), -INFINITY);
    for (std::size_t at = 0; at < keys.size(); ++at) {
      if (call.problem.sees(query, keys[at])) scores[at] = score(call, query, keys[at]);
    }
    if (std::isinf(naive_softmax(scores))) return false;
    for (std::size_t at = 0; at < keys.size(); ++at) row[keys[at]] += scores[at];
    return true;
  }

  /// Adds each layer-normed row to the sum of the centroid it is nearest to.
  static void add_nearest(ConstView rows, ConstView centroids, std::vector<double>& sums) {
    std::vector<float> normed(static_cast<std::size_t>(rows.cols));
    for (Index i = 0; i < rows.rows; ++i) {
      layer_norm(rows.row(i), rows.cols, normed.data());
      Index nearest = 0;
      double best = -INFINITY;
      for (Index c = 0; c < centroids.rows; ++c) {
        double dot = 0;
        for (Index d = 0; d < rows.cols; ++d) dot += double{normed[d]} * centroids(c, d);
        if (dot > best) {
          best = dot;
          nearest = c;
        }
      }
      for (Index d = 0; d < rows.cols; ++d) sums[nearest * rows.cols + d] += normed[d];
    }
  }
};

SUBQUAD_VARIANT(Routing,
                {.name = "routing",
                 .summary = "attention inside overlapping clusters around learned centroids",
                 .citation = "arXiv:2003.05997",
                 .time = "n (window + clusters) d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad
