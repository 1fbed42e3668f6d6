// clustered: queries that are alike share one row of attention, that of their mean. Vyas et al.
// 2020, "Fast transformers with clustered attention" (arXiv:2007.04825), sections 3.2 and 3.3.
//
//   labels:    k-means of the queries' sign bits, sgn(q P), under the Hamming distance
//   centroid:  c_j = mean of the queries of cluster j,  A_j = softmax(scale c_j K^T)
//   clustered: out_i = A_j V for the queries i of cluster j
//   improved:  T_j = the `keys` keys of largest A_j,  m_j = sum over T_j of A_jl
//              out_i = m_j sum over l in T_j of softmax_{l in T_j}(scale q_i . k_l) v_l
//                      + sum over l not in T_j of A_jl v_l
//
// so that each query weighs the keys that matter to its cluster itself, and their mass is the
// centroid's. Time O(n (clusters + keys) d), and O(n clusters iterations) counts of bits; memory
// O(n
// + clusters d), and a few rows of n scores for each thread.
//
// With as many clusters as queries each query is a cluster of its own, without hashing: dense
// attention. Labels may be given (labels=loaded), as an integer tensor. Different from the paper:
// k-means starts at evenly spaced queries, where the authors' code draws them. Not causal: a
// centroid's keys would have to be those that the first of its queries sees.

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "kernels/hamming_kmeans.h"
#include "kernels/hashing.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/streaming_softmax.h"
#include "kernels/top_k.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Labels { hashed, loaded };

/// Queries that a tile hashes.
constexpr Index kHashRows = 128;
/// Centroids whose scores are computed together.
constexpr Index kCentroids = 16;

using Numbers = std::span<const std::int32_t>;

class Clustered final : public Variant {
 public:
  Index clusters = 64;
  bool improved = true;
  Index keys = 32;
  Index bits = 63;
  Index iterations = 10;
  Labels labels = Labels::hashed;

  void parameters(Parameters& visit) override {
    visit("clusters", clusters, at_least(1), "clusters of queries");
    visit("improved", improved, "queries weigh the keys of largest centroid attention themselves");
    visit("keys", keys, at_least(1), "improved: how many keys these are");
    visit("bits", bits, between(1, kMaxSignBits), "sign bits of a query's hash");
    visit("iterations", iterations, at_least(0), "of k-means");
    visit("labels", labels, {"hashed", "loaded"}, "clusters are found, or given as a tensor");
  }

  Target target(const Problem&) const override { return Target::estimator; }
  std::string exact_when(const Problem& problem) const override {
    return "labels=hashed,clusters=" + std::to_string(problem.queries);
  }
  bool ignores_key_order(const Problem&) const override { return true; }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal)
      return "queries of a cluster share one row of attention, so one set of keys";
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Index count = cluster_count(problem);
    const Shape of_queries{{"queries", problem.queries}};
    if (labels == Labels::loaded) {
      visit.integer("labels", of_queries,
                    init::custom("equal stretches of queries",
                                 std::function<void(Generator&, const Shape&, std::span<int32_t>)>(
                                     [count](Generator&, const Shape&, std::span<int32_t> all) {
                                       const auto n = static_cast<Index>(all.size());
                                       for (Index i = 0; i < n; ++i)
                                         all[i] = static_cast<std::int32_t>(i * count / n);
                                     })),
                    Role::learned, Sharing::head, "cluster of each query, below `clusters`");
    } else {
      if (hashes(problem)) {
        visit("planes", {{"dim", problem.dim}, {"bits", bits}}, init::normal(1), Role::random,
              Sharing::head, "random directions, whose signs are hashed");
      }
      visit.choice("labels", of_queries, "cluster of each query");
    }
    if (!improved) return;
    visit.choice("top_keys", {{"clusters", count}, {"keys", top_count(problem)}},
                 "keys of largest centroid attention, ascending");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index count = cluster_count(problem), rows = std::min(kCentroids, count);
    Scratch scratch = Scratch()
                          .shared<std::int32_t>(problem.queries)
                          .shared<std::int32_t>(count + 1)
                          .shared<float>(count * problem.value_dim)
                          .shared<float>(count);
    if (hashes(problem)) {
      scratch.shared<std::uint64_t>(problem.queries);
      kmeans(problem).declare_scratch(scratch);
      scratch.worker_bytes =
          sign_bits_scratch_bytes(std::min(kHashRows, problem.queries), problem.dim, bits);
    }
    const std::size_t product =
        std::max(product_scratch_bytes(rows, problem.keys, problem.dim),
                 product_scratch_bytes(rows, problem.value_dim, problem.keys));
    const Scratch centroids = Scratch()
                                  .worker<float>(rows * problem.dim)
                                  .worker<float>(rows * problem.keys)
                                  .worker<std::int32_t>(improved ? problem.keys : 0)
                                  .worker<std::byte>(static_cast<Index>(product));
    const std::size_t attending =
        Scratch().worker<std::int32_t>(top_count(problem)).worker_bytes +
        softmax_scratch_bytes(tile_rows(problem), problem.dim, problem.value_dim);
    scratch.worker_bytes =
        std::max({scratch.worker_bytes, centroids.worker_bytes, improved ? attending : 0});
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double queries = static_cast<double>(problem.queries);
    const double dim = static_cast<double>(problem.dim);
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    const double of_centroids =
        static_cast<double>(cluster_count(problem)) * static_cast<double>(problem.keys);
    const double of_queries = improved ? queries * static_cast<double>(top_count(problem)) : 0;
    const double planes = hashes(problem) ? static_cast<double>(bits) * dim : 0;
    return {
        .useful = {.multiply_adds = queries * planes + (of_centroids + of_queries) * width,
                   .exponentials = of_centroids + of_queries},
        .bytes = sizeof(float) * ((queries + static_cast<double>(problem.keys)) * width + planes)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    Arena& arena = call.run.shared();
    const Index count = cluster_count(problem);
    const std::span<std::int32_t> order = arena.take<std::int32_t>(problem.queries);
    const std::span<std::int32_t> ends = arena.take<std::int32_t>(count + 1);
    const View shared = arena.take_matrix(count, problem.value_dim);
    const std::span<float> masses = arena.take<float>(count);
    sort_by_bucket(find_labels(call), order, ends);
    const auto members = [&](Index cluster) {
      const auto begin = static_cast<std::size_t>(cluster == 0 ? 0 : ends[cluster - 1]);
      return Numbers(order).subspan(begin, static_cast<std::size_t>(ends[cluster]) - begin);
    };
    call.run.parallel((count + kCentroids - 1) / kCentroids, [&](Index tile, Worker& worker) {
      const Index begin = tile * kCentroids, rows = std::min(kCentroids, count - begin);
      const View centroids = worker.scratch.take_matrix(rows, problem.dim);
      for (Index i = 0; i < rows; ++i) mean_row(call.q, members(begin + i), centroids.row(i));
      attend_centroids(call, begin, centroids, shared.row_range(begin, rows), &masses[begin],
                       worker);
    });
    call.run.parallel(count, [&](Index cluster, Worker& worker) {
      const Numbers queries = members(cluster);
      if (improved) attend_queries(call, cluster, queries, worker);
      for (const std::int32_t query : queries) {
        float* const out = call.out.row(query);
        for (Index c = 0; c < problem.value_dim; ++c) {
          out[c] = (improved ? masses[cluster] * out[c] : 0) + shared(cluster, c);
        }
      }
    });
  }

  void reference(const ReferenceCall& call) const override {
    const std::vector<std::vector<double>> shared = centroid_attention(call);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, shared, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const std::vector<std::vector<double>> shared = centroid_attention(call);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, shared, weights.row(i));
  }

 private:
  Index cluster_count(const Problem& problem) const { return std::min(clusters, problem.queries); }
  Index top_count(const Problem& problem) const { return std::min(keys, problem.keys); }
  bool hashes(const Problem& problem) const {
    return labels == Labels::hashed && clusters < problem.queries;
  }
  HammingKMeans kmeans(const Problem& problem) const {
    return {.clusters = cluster_count(problem), .iterations = iterations};
  }
  /// Queries of a cluster that are handled together.
  Index tile_rows(const Problem& problem) const {
    const Index most = hashes(problem) || labels == Labels::loaded ? problem.queries : 1;
    return std::min(softmax_tile_rows(problem.dim, problem.value_dim), most);
  }

  /// The labels of all queries: loaded and checked, or found.
  Numbers find_labels(const Call& call) const {
    const Index count = cluster_count(call.problem);
    if (labels == Labels::loaded) {
      const Numbers loaded = call.tensors.integers("labels");
      for (const std::int32_t label : loaded) {
        if (label >= 0 && label < count) continue;
        throw Error("clustered: tensor 'labels' holds " + std::to_string(label) +
                    "; labels must lie in [0, " + std::to_string(count) + ")");
      }
      return loaded;
    }
    const std::span<std::int32_t> found = call.tensors.choices("labels");
    if (!hashes(call.problem)) {
      std::iota(found.begin(), found.end(), 0);
      return found;
    }
    const Index queries = call.problem.queries;
    const auto words = call.run.shared().take<std::uint64_t>(queries);
    call.run.parallel((queries + kHashRows - 1) / kHashRows, [&](Index tile, Worker& worker) {
      const Index begin = tile * kHashRows, rows = std::min(kHashRows, queries - begin);
      sign_bits(call.q.row_range(begin, rows), call.tensors.matrix("planes"),
                words.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(rows)),
                worker);
    });
    kmeans(call.problem).run(words, found, call.run);
    return found;
  }

  /// Mean of some rows; zeros for none.
  static void mean_row(ConstView rows, Numbers members, float* mean) {
    for (Index c = 0; c < rows.cols; ++c) {
      double sum = 0;
      for (const std::int32_t i : members) sum += rows(i, c);
      mean[c] = members.empty() ? 0 : static_cast<float>(sum / static_cast<double>(members.size()));
    }
  }

  /// What the queries of some clusters share: their centroids' attention, but for the top keys, and
  /// the mass of these.
  void attend_centroids(const Call& call, Index first, ConstView centroids, View shared,
                        float* masses, Worker& worker) const {
    const Index keys_seen = call.problem.keys;
    const View scores = worker.scratch.take_matrix(centroids.rows, keys_seen);
    const auto order = worker.scratch.take<std::int32_t>(improved ? keys_seen : 0);
    multiply_transposed(centroids, call.k, scores, worker,
                        static_cast<float>(call.problem.score_scale()));
    for (Index i = 0; i < centroids.rows; ++i) {
      const std::span<float> row(scores.row(i), static_cast<std::size_t>(keys_seen));
      std::span<std::int32_t> top;
      if (improved) {
        const auto count = static_cast<std::size_t>(top_count(call.problem));
        top = call.tensors.choices("top_keys")
                  .subspan(static_cast<std::size_t>(first + i) * count, count);
        choose_largest(row, order, top);
      }
      softmax_in_place(row);
      masses[i] = 0;
      for (const std::int32_t key : top) {
        masses[i] += row[key];
        row[key] = 0;
      }
    }
    worker.executed.exponentials += static_cast<double>(centroids.rows * keys_seen);
    multiply(scores, call.v, shared, worker);
  }

  /// Attention of a cluster's queries to its top keys.
  void attend_queries(const Call& call, Index cluster, Numbers queries, Worker& worker) const {
    const Problem& problem = call.problem;
    const auto count = static_cast<std::size_t>(top_count(problem));
    KeyPlan plan(problem.keys, {}, worker.scratch.take<std::int32_t>(top_count(problem)));
    plan.single(call.tensors.integers("top_keys")
                    .subspan(static_cast<std::size_t>(cluster) * count, count));
    const SoftmaxOperands operands{.q = call.q,
                                   .k = call.k,
                                   .v = call.v,
                                   .out = call.out,
                                   .scale = static_cast<float>(problem.score_scale())};
    const auto most = static_cast<std::size_t>(tile_rows(problem));
    for (std::size_t done = 0; done < queries.size(); done += most) {
      const Numbers rows = queries.subspan(done, std::min(most, queries.size() - done));
      streaming_softmax(operands, Rows::of(rows), plan, nullptr, worker);
    }
  }

  /// For the reference: A, from the labels that forward chose, [clusters][keys].
  std::vector<std::vector<double>> centroid_attention(const ReferenceCall& call) const {
    const Numbers label = call.tensors.integers("labels");
    std::vector<std::vector<double>> rows;
    for (Index cluster = 0; cluster < cluster_count(call.problem); ++cluster) {
      std::vector<double>& row = rows.emplace_back(static_cast<std::size_t>(call.problem.keys));
      const auto size = static_cast<double>(std::count(label.begin(), label.end(), cluster));
      for (Index i = 0; i < call.problem.queries; ++i) {
        if (label[i] != cluster) continue;
        // The mean of scores is the score of the mean.
        for (Index j = 0; j < call.problem.keys; ++j) row[j] += naive_score(call, i, j) / size;
      }
      naive_softmax(row);
    }
    return rows;
  }

  void weigh(const ReferenceCall& call, Index query, const std::vector<std::vector<double>>& shared,
             double* row) const {
    const Index cluster = call.tensors.integers("labels")[query];
    std::copy(shared[cluster].begin(), shared[cluster].end(), row);
    if (!improved) return;
    const auto count = static_cast<std::size_t>(top_count(call.problem));
    const Numbers top =
        call.tensors.integers("top_keys").subspan(static_cast<std::size_t>(cluster) * count, count);
    std::vector<double> own;
    double mass = 0;
    for (const std::int32_t key : top) {
      own.push_back(naive_score(call, query, key));
      mass += row[key];
    }
    naive_softmax(own);
    for (std::size_t at = 0; at < count; ++at) row[top[at]] = mass * own[at];
  }
};

SUBQUAD_VARIANT(Clustered,
                {.name = "clustered",
                 .summary = "queries of a cluster share their mean's attention, top keys exact",
                 .citation = "arXiv:2007.04825",
                 .time = "n (clusters + keys) d",
                 .memory = "n + clusters d"});

}  // namespace
}  // namespace subquad
