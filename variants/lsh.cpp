// lsh: softmax over the keys that a random hash puts near the query. Kitaev et al. 2020, "Reformer:
// the efficient transformer" (arXiv:2001.04451), section 2.
//
//   hash:    h(x) = argmax [x R, -x R],  R normal, [d, buckets / 2], drawn anew for each round
//   sort:    tokens by (h, position), cut into chunks; a chunk attends to itself and the one before
//   P_i^r =  keys j in those chunks with h(k_j) = h(q_i) and, if causal, j <= i
//   out_i =  sum_j p_ij v_j over the union of P_i^r,  p_ij ~ exp(s_ij),
//   s_ij  =  scale q_i . k_j, minus self_penalty if i = j         (qk=shared: k_j = q_j / |q_j|)
//
// Rounds merge by their log-sum-exp. A key that N_ij rounds found counts once: the first of them
// has it, which gives the same sum as log N_ij taken off its score in each (appendix A). Time
// O(rounds n (chunk + buckets) d): the second part, hashing, which the paper leaves out of its
// count, is O(n^2 d / bucket), and O(n d sqrt(n / bucket)) with hashes of two factors; memory
// O(rounds n).
//
// Where implementations differ, a parameter decides; the defaults are the paper's. scale=problem
// divides scores by sqrt(d), as the paper's equation 1 and one public code do; scale=none leaves q
// . k_j with k_j of length 1 as it is, as the authors' code does. across_buckets: a chunk attends
// to all that lies in it, the default of both codes. duplicates: keys found N times count N times,
// the default of both codes. wrap: the first chunk looks back at the last, as both codes do; here
// always that of its own round. self_penalty: subtracted, as by the authors. factorised: a bucket
// is a pair of two hashes, each of about the root of the number of buckets; auto is the authors'
// code, which does so above 128 buckets.
//
// Different from the paper: `bucket` is the expected length of a bucket, of which there are then n
// / bucket, rounded down to an even number, at least 2 (1 if bucket >= n), or to a product of two
// even ones; chunk=0 is the paper's chunk, twice the expected length. qk=separate hashes keys and
// queries apart, by the same rotations, and sorts each. A bucket lies elsewhere among keys than
// among queries then, so chunks are cut in each bucket: of Q chunks of queries, number c attends to
// number floor(c K / Q) of the K chunks of keys, and to the one before (with across_buckets, to
// chunks c and c - 1 of all); the self rule has no object. With it, causal is refused: keys of the
// future would have a say in which keys of the past share a chunk. Under qk=shared they have that
// say too: it is how the method works.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/bucket_attention.h"
#include "kernels/hashing.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Qk { shared, separate };
enum class Scaling { problem, none };
enum class Factorised { by_count, never, always };

/// More buckets than these are made of two hashes, unless told otherwise.
constexpr Index kMostOfOneHash = 128;

/// Rows that a tile hashes.
constexpr Index kHashRows = 128;

class Lsh final : public Variant {
 public:
  Index rounds = 4;
  Index bucket = 64;
  Index chunk = 0;
  Qk qk = Qk::shared;
  Scaling scale = Scaling::problem;
  Factorised factorised = Factorised::by_count;
  bool across_buckets = false;
  bool duplicates = false;
  bool wrap = false;
  double self_penalty = 1e5;

  void parameters(Parameters& visit) override {
    visit("rounds", rounds, between(1, BucketAttention::kMaxRounds),
          "independent hashes, whose results are merged");
    visit("bucket", bucket, at_least(1), "expected tokens of a bucket: n / bucket of them, even");
    visit("chunk", chunk, at_least(0), "sorted tokens of a chunk; 0: twice what bucket says");
    visit("qk", qk, {"shared", "separate"}, "keys are the queries, scaled to length 1, or K");
    visit("scale", scale, {"problem", "none"}, "scores are scaled as in any attention, or not");
    visit("across_buckets", across_buckets, "attend to keys of other buckets in the chunks");
    visit("duplicates", duplicates, "a key that several rounds find counts as often");
    visit("wrap", wrap, "the first chunk looks back at the last");
    visit("self_penalty", self_penalty, at_least(0),
          "qk=shared: taken off the score of a token with itself");
    visit("factorised", factorised, {"auto", "never", "always"},
          "buckets are pairs of two hashes; auto: above 128 buckets");
    visit_precision(visit, precision_);
  }

  Target target(const Problem&) const override { return Target::restriction; }
  std::string dense_target(const Problem&) const override {
    const std::string scaling = scale == Scaling::none ? "scale=none" : "";
    if (qk == Qk::separate) return scaling.empty() ? "dense" : "dense(" + scaling + ")";
    char penalty[32];
    const auto end = std::to_chars(penalty, penalty + sizeof penalty, self_penalty).ptr;
    return "dense(keys=normalised_queries,self_penalty=" + std::string(penalty, end) +
           (scaling.empty() ? "" : "," + scaling) + ")";
  }
  std::string exact_when(const Problem& problem) const override {
    return "rounds=1,chunk=0,bucket=" + std::to_string(problem.keys);
  }
  Consumes consumes() const override { return {.k = qk == Qk::separate}; }
  /// With duplicates it is no softmax over keys any more.
  bool gives_log_sum_exp() const override { return !duplicates || rounds == 1; }
  std::string refuses(const Problem& problem) const override {
    if (!problem.self_attention()) {
      return "queries and keys are sorted into the same number of chunks: queries must be the keys";
    }
    if (problem.causal && qk == Qk::separate) {
      return "qk=separate cannot be causal: later keys decide which earlier ones share a chunk";
    }
    if (wrap && qk == Qk::separate && !across_buckets) {
      return "qk=separate cuts chunks in each bucket, of which none is the first of all: wrap=true "
             "needs across_buckets=true";
    }
    const std::string reason = subquad::refuses(precision_);
    return reason.empty() ? kernel(problem).refuses(problem) : reason;
  }
  double operand_roundoff() const override { return subquad::operand_roundoff(precision_); }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const DirectionHash hashes = direction_hash(problem);
    if (hashes.buckets() > 1) {
      visit("rotations",
            {{"dim", problem.dim}, {"rounds", rounds}, {"directions", hashes.directions()}},
            init::normal(1), Role::random, Sharing::head, "random directions of the hashes");
    }
    const Shape shape{{"rounds", rounds}, {"tokens", problem.queries}};
    visit.choice("query_buckets", shape, "bucket of each query (qk=shared: token) in each round");
    if (qk == Qk::separate) visit.choice("key_buckets", shape, "bucket of each key in each round");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch = kernel(problem).scratch(problem);
    if (qk == Qk::shared) scratch.shared<float>(problem.queries);
    scratch.worker_bytes = std::max(
        scratch.worker_bytes,
        direction_hash(problem).scratch_bytes(std::min(kHashRows, problem.queries), problem.dim));
    return scratch;
  }

  /// How many pairs share a bucket is up to the data: an upper bound, and of pairs in chunks.
  Cost cost(const Problem& problem) const override {
    const Index in_reach = std::min(2 * chunk_length(problem), problem.keys);
    double pairs = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      pairs += static_cast<double>(problem.causal ? std::min(in_reach, i + 1) : in_reach);
    }
    pairs *= static_cast<double>(rounds);
    const double n = static_cast<double>(problem.queries), dim = static_cast<double>(problem.dim);
    const double value_dim = static_cast<double>(problem.value_dim);
    const double sides = qk == Qk::separate ? 2 : 1;
    const DirectionHash hashes = direction_hash(problem);
    const double directions =
        hashes.buckets() == 1 ? 0 : static_cast<double>(rounds * hashes.directions());
    return {.useful = {.multiply_adds = pairs * (dim + value_dim) + sides * n * directions * dim,
                       .exponentials = pairs},
            .bytes = sizeof(float) * (sides * n * dim + 2 * n * value_dim + directions * dim),
            .exact = false};
  }

  void forward(const Call& call) const override {
    const std::span<std::int32_t> queries = call.tensors.choices("query_buckets");
    if (qk == Qk::shared) {
      const std::span<float> factors = call.run.shared().take<float>(call.problem.queries);
      hash(call, call.q, queries, factors);
      kernel(call.problem).forward(call, queries, queries, factors);
      return;
    }
    const std::span<std::int32_t> keys = call.tensors.choices("key_buckets");
    hash(call, call.q, queries, {});
    hash(call, call.k, keys, {});
    kernel(call.problem).forward(call, queries, keys, {});
  }

  void reference(const ReferenceCall& call) const override {
    const Memberships found(*this, call);
    std::vector<double> row(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      const double log_sum_exp = softmax_row(call, found, i, row);
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index j = 0; j < call.problem.keys; ++j) {
          if (row[j] != 0) call.out(i, c) += row[j] * call.v(j, c);
        }
      }
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Memberships found(*this, call);
    std::vector<double> row(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < weights.rows; ++i) {
      softmax_row(call, found, i, row);
      std::copy(row.begin(), row.end(), weights.row(i));
    }
  }

 private:
  DirectionHash direction_hash(const Problem& problem) const {
    if (bucket >= problem.keys) return {.rounds = rounds, .first = 1};
    const auto even = [](Index count) { return std::max<Index>(2, count / 2 * 2); };
    const Index buckets = problem.keys / bucket;
    if (factorised == Factorised::never ||
        (factorised == Factorised::by_count && buckets <= kMostOfOneHash)) {
      return {.rounds = rounds, .first = even(buckets)};
    }
    const Index first = even(std::lround(std::sqrt(static_cast<double>(buckets))));
    return {.rounds = rounds, .first = first, .second = even(buckets / first)};
  }
  Index chunk_length(const Problem& problem) const {
    return std::min(chunk > 0 ? chunk : 2 * std::min(bucket, problem.keys), problem.keys);
  }
  Index chunk_count(const Problem& problem) const {
    return (problem.keys + chunk_length(problem) - 1) / chunk_length(problem);
  }
  double score_scale(const Problem& problem) const {
    return scale == Scaling::none ? 1 : problem.score_scale();
  }

  /// For the reference: in how many rounds does query i find key j? From the buckets that forward
  /// chose, by the definition.
  class Memberships {
   public:
    Memberships(const Lsh& lsh, const ReferenceCall& call)
        : lsh_(lsh),
          n_(call.problem.keys),
          last_chunk_(lsh.chunk_count(call.problem) - 1),
          query_buckets_(call.tensors.integers("query_buckets")),
          key_buckets_(lsh.qk == Qk::shared ? query_buckets_
                                            : call.tensors.integers("key_buckets")),
          query_chunks_(chunks(query_buckets_, lsh.chunk_length(call.problem))),
          key_chunks_(chunks(key_buckets_, lsh.chunk_length(call.problem))) {
      if (lsh.qk == Qk::separate && !lsh.across_buckets) {
        chunk_each_bucket(lsh.direction_hash(call.problem).buckets(),
                          lsh.chunk_length(call.problem));
      }
    }

    Index count(Index i, Index j) const {
      Index rounds = 0;
      for (Index r = 0; r < lsh_.rounds; ++r) {
        const Index query_chunk = query_chunks_[r * n_ + i], key_chunk = key_chunks_[r * n_ + j];
        const bool wrapped = lsh_.wrap && query_chunk == 0 && key_chunk == last_chunk_;
        if (key_chunk != query_chunk && key_chunk != query_chunk - 1 && !wrapped) continue;
        if (!lsh_.across_buckets && query_buckets_[r * n_ + i] != key_buckets_[r * n_ + j])
          continue;
        ++rounds;
      }
      return rounds;
    }

   private:
    std::vector<Index> chunks(std::span<const std::int32_t> buckets, Index length) const {
      std::vector<Index> result(buckets.size()), tokens(static_cast<std::size_t>(n_));
      for (Index r = 0; r < lsh_.rounds; ++r) {
        std::iota(tokens.begin(), tokens.end(), 0);
        std::stable_sort(tokens.begin(), tokens.end(), [&](Index a, Index b) {
          return buckets[r * n_ + a] < buckets[r * n_ + b];
        });
        for (Index place = 0; place < n_; ++place) result[r * n_ + tokens[place]] = place / length;
      }
      return result;
    }

    /// Chunks of each bucket for itself, those of queries by the keys that are as far along.
    void chunk_each_bucket(Index buckets, Index length) {
      for (Index r = 0; r < lsh_.rounds; ++r) {
        std::vector<Index> queries(static_cast<std::size_t>(buckets)), keys(queries.size());
        for (Index j = 0; j < n_; ++j) {
          query_chunks_[r * n_ + j] = queries[query_buckets_[r * n_ + j]]++ / length;
          key_chunks_[r * n_ + j] = keys[key_buckets_[r * n_ + j]]++ / length;
        }
        const auto chunk_count = [&](Index size) { return (size + length - 1) / length; };
        for (Index i = 0; i < n_; ++i) {
          const Index bucket = query_buckets_[r * n_ + i];
          Index& chunk = query_chunks_[r * n_ + i];
          chunk = chunk * chunk_count(keys[bucket]) / chunk_count(queries[bucket]);
        }
      }
    }

    const Lsh& lsh_;
    Index n_, last_chunk_;
    std::span<const std::int32_t> query_buckets_, key_buckets_;
    std::vector<Index> query_chunks_, key_chunks_;
  };

  double reference_score(const ReferenceCall& call, Index i, Index j) const {
    double dot = 0, squares = 0;
    for (Index c = 0; c < call.q.cols; ++c) {
      const double key = qk == Qk::shared ? call.q(j, c) : call.k(j, c);
      dot += call.q(i, c) * key;
      squares += key * key;
    }
    if (qk == Qk::separate) return score_scale(call.problem) * dot;
    const double score = squares == 0 ? 0 : score_scale(call.problem) * dot / std::sqrt(squares);
    return i == j ? score - self_penalty : score;
  }

  /// Weights of one row; returns its log-sum-exp.
  double softmax_row(const ReferenceCall& call, const Memberships& found, Index i,
                     std::vector<double>& row) const {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    std::vector<double> times(row.size());
    for (Index j = 0; j < call.problem.keys; ++j) {
      const Index count = call.problem.sees(i, j) ? found.count(i, j) : 0;
      times[j] = static_cast<double>(duplicates ? count : std::min<Index>(count, 1));
      if (count == 0) continue;
      row[j] = reference_score(call, i, j);
      largest = std::max(largest, row[j]);
    }
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = times[j] == 0 ? 0 : times[j] * std::exp(row[j] - largest);
      sum += row[j];
    }
    if (sum == 0) return -std::numeric_limits<double>::infinity();
    for (double& weight : row) weight /= sum;
    return largest + std::log(sum);
  }

  BucketAttention kernel(const Problem& problem) const {
    return {.rounds = rounds,
            .buckets = direction_hash(problem).buckets(),
            .chunk = chunk_length(problem),
            .shared_keys = qk == Qk::shared,
            .across_buckets = across_buckets,
            .duplicates = duplicates,
            .wrap = wrap,
            .scale = score_scale(problem),
            .self_penalty = self_penalty,
            .precision = precision_};
  }

  /// Buckets of all rows in all rounds, [rounds, rows], and what scales rows to length 1, where
  /// there is room for it.
  void hash(const Call& call, ConstView rows, std::span<std::int32_t> buckets,
            std::span<float> factors) const {
    const DirectionHash hashes = direction_hash(call.problem);
    const bool one_bucket = hashes.buckets() == 1;
    if (one_bucket) std::fill(buckets.begin(), buckets.end(), 0);
    const ConstView rotations(one_bucket ? nullptr : call.tensors.matrix("rotations").data,
                              call.problem.dim, rounds * hashes.directions());
    call.run.parallel((rows.rows + kHashRows - 1) / kHashRows, [&](Index tile, Worker& worker) {
      const Index begin = tile * kHashRows;
      const ConstView part = rows.row_range(begin, std::min(kHashRows, rows.rows - begin));
      if (!factors.empty()) {
        inverse_lengths(part, factors.subspan(static_cast<std::size_t>(begin)));
      }
      if (!one_bucket) hashes(part, rotations, buckets.data() + begin, rows.rows, worker);
    });
  }

  Precision precision_ = Precision::f32;
};

SUBQUAD_VARIANT(Lsh, {.name = "lsh",
                      .summary = "Reformer: softmax over keys in the query's hash buckets",
                      .citation = "arXiv:2001.04451",
                      .time = "rounds n (chunk + sqrt(n / bucket)) d",
                      .memory = "rounds n"});

}  // namespace
}  // namespace subquad
