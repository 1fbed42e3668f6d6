#include "kernels/bucket_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/hashing.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Where one round put a token.
struct Place {
  std::int32_t chunk;
  std::int32_t bucket;
};

/// Queries, or keys, as all rounds sorted them.
struct Sorted {
  std::span<const std::int32_t> buckets;  ///< [rounds, n]
  std::span<std::int32_t> order;          ///< [rounds, n]: tokens in sorted order
  std::span<Place> places;                ///< [n, rounds]
};

/// Masks, self rule and multiplicity of pairs. Queries and keys are numbered as in one window.
class PairRule final : public ScoreEdit {
 public:
  struct Window {
    Index round;
    std::span<const std::int32_t> queries, keys;  ///< tokens
  };

  PairRule(const BucketAttention& options, const Problem& problem, const Sorted& queries,
           const Sorted& keys, const Window& window)
      : options_(options),
        causal_(problem.causal),
        last_chunk_(static_cast<std::int32_t>((problem.keys - 1) / options.chunk)),
        query_places_(queries.places),
        key_places_(keys.places),
        window_(window) {
    for (std::size_t count = 1; count < logs_.size(); ++count) {
      logs_[count] = std::log(static_cast<float>(count));
    }
  }

  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const std::int32_t i = window_.queries[query];
    const Place* const query_place = &query_places_[i * options_.rounds];
    const bool by_bucket = !options_.across_buckets;
    const bool once = !options_.duplicates && options_.rounds > 1;
    for (std::size_t position = 0; position < keys.size(); ++position) {
      const std::int32_t j = window_.keys[keys[position]];
      const Place* const key_place = &key_places_[j * options_.rounds];
      float& score = scores[position];
      if ((causal_ && j > i) ||
          (by_bucket && query_place[window_.round].bucket != key_place[window_.round].bucket)) {
        score = kMinusInfinity;
        continue;
      }
      if (i == j && options_.shared_keys) score -= static_cast<float>(options_.self_penalty);
      if (once) score -= log_count(query_place, key_place);
    }
  }

 private:
  /// log of the number of rounds in which the query finds the key.
  float log_count(const Place* query, const Place* key) const {
    Index count = 0;
    for (Index r = 0; r < options_.rounds; ++r) {
      const std::int32_t back = query[r].chunk - key[r].chunk;
      const bool near = back == 0 || back == 1 ||
                        (options_.wrap && query[r].chunk == 0 && key[r].chunk == last_chunk_);
      count += near && (options_.across_buckets || query[r].bucket == key[r].bucket);
    }
    return logs_[count];
  }

  const BucketAttention& options_;
  bool causal_;
  std::int32_t last_chunk_;
  std::span<const Place> query_places_, key_places_;
  Window window_;
  std::array<float, BucketAttention::kMaxRounds + 1> logs_{};
};

Index tile_rows(const BucketAttention& options, const Problem& problem) {
  return std::min(softmax_tile_rows(problem.dim, problem.value_dim), options.chunk);
}
Index window_keys(const BucketAttention& options, const Problem& problem) {
  return std::min(2 * options.chunk, problem.keys);
}

class Pass {
 public:
  Pass(const BucketAttention& options, const Call& call,
       std::span<const std::int32_t> query_buckets, std::span<const std::int32_t> key_buckets)
      : options_(options), call_(call), problem_(call.problem), n_(problem_.queries) {
    Arena& arena = call.run.shared();
    totals_ = arena.take<float>(n_);
    queries_ = take_sorted(arena, query_buckets);
    if (options.shared_keys) {
      keys_ = queries_;
      factors_ = arena.take<float>(n_);
    } else {
      keys_ = take_sorted(arena, key_buckets);
    }
  }

  void run() {
    call_.run.parallel(options_.rounds, [&](Index round, Worker& worker) {
      sort(queries_, round, worker);
      if (!options_.shared_keys) sort(keys_, round, worker);
    });
    if (options_.shared_keys) normalise();
    const Index chunks = (n_ + options_.chunk - 1) / options_.chunk;
    // A token is a query of one chunk in each round: rounds one after the other can merge in place.
    for (Index round = 0; round < options_.rounds; ++round) {
      call_.run.parallel(chunks,
                         [&](Index chunk, Worker& worker) { attend(round, chunk, worker); });
    }
    if (call_.row_log_sum_exp != nullptr) {
      std::copy(totals_.begin(), totals_.end(), call_.row_log_sum_exp);
    }
  }

 private:
  Sorted take_sorted(Arena& arena, std::span<const std::int32_t> buckets) const {
    return {buckets, arena.take<std::int32_t>(options_.rounds * n_),
            arena.take<Place>(options_.rounds * n_)};
  }

  std::span<const std::int32_t> order(const Sorted& side, Index round) const {
    return side.order.subspan(static_cast<std::size_t>(round * n_), static_cast<std::size_t>(n_));
  }

  void sort(const Sorted& side, Index round, Worker& worker) const {
    const auto begin = static_cast<std::size_t>(round * n_), count = static_cast<std::size_t>(n_);
    const std::span<const std::int32_t> buckets = side.buckets.subspan(begin, count);
    const std::span<std::int32_t> order = side.order.subspan(begin, count);
    const std::size_t mark = worker.scratch.used();
    sort_by_bucket(buckets, order, worker.scratch.take<std::int32_t>(options_.buckets + 1));
    worker.scratch.rewind(mark);
    for (Index place = 0; place < n_; ++place) {
      const std::int32_t token = order[place];
      side.places[token * options_.rounds + round] = {
          static_cast<std::int32_t>(place / options_.chunk), buckets[token]};
    }
  }

  /// Factors that scale queries to length 1; 0 for one of length 0.
  void normalise() const {
    for (Index i = 0; i < n_; ++i) {
      double squares = 0;
      for (Index c = 0; c < problem_.dim; ++c) squares += double{call_.q(i, c)} * call_.q(i, c);
      factors_[i] = squares == 0 ? 0.0f : static_cast<float>(1 / std::sqrt(squares));
    }
  }

  /// Tokens whose keys the chunk's queries may find, the chunk before first.
  std::span<const std::int32_t> key_tokens(Index round, Index chunk,
                                           std::span<std::int32_t> memory) const {
    const std::span<const std::int32_t> sorted = order(keys_, round);
    const Index last = (n_ - 1) / options_.chunk;
    const Index before = chunk > 0 ? chunk - 1 : options_.wrap && last > 0 ? last : -1;
    Index count = 0;
    for (const Index source : {before, chunk}) {
      if (source < 0) continue;
      const Index begin = source * options_.chunk;
      const Index end = std::min(begin + options_.chunk, n_);
      std::copy(sorted.begin() + begin, sorted.begin() + end, memory.begin() + count);
      count += end - begin;
    }
    return memory.first(static_cast<std::size_t>(count));
  }

  void attend(Index round, Index chunk, Worker& worker) const {
    const Index begin = chunk * options_.chunk;
    const Index rows = std::min(options_.chunk, n_ - begin), tile = tile_rows(options_, problem_);
    const Index limit = window_keys(options_, problem_);
    Arena& arena = worker.scratch;
    const std::span<const std::int32_t> keys =
        key_tokens(round, chunk, arena.take<std::int32_t>(limit));
    const auto count = static_cast<Index>(keys.size());
    const View k = arena.take_matrix(limit, problem_.dim).row_range(0, count);
    const View v = arena.take_matrix(limit, problem_.value_dim).row_range(0, count);
    const View q = arena.take_matrix(tile, problem_.dim);
    const View out = arena.take_matrix(tile, problem_.value_dim);
    const std::span<float> log_sum_exp = arena.take<float>(tile);
    gather_keys(keys, k);
    gather(call_.v, keys, v);

    const SoftmaxOperands operands{.q = q,
                                   .k = k,
                                   .v = v,
                                   .out = out,
                                   .row_log_sum_exp = log_sum_exp.data(),
                                   .scale = static_cast<float>(options_.scale)};
    for (Index done = 0; done < rows; done += tile) {
      const Index size = std::min(tile, rows - done);
      const std::span<const std::int32_t> queries =
          order(queries_, round)
              .subspan(static_cast<std::size_t>(begin + done), static_cast<std::size_t>(size));
      gather(call_.q, queries, q);
      const PairRule rule(options_, problem_, queries_, keys_, {round, queries, keys});
      KeySpan span;
      KeyPlan plan(count, {&span, 1}, {});
      plan.asked(0, count);
      streaming_softmax(operands, {0, size}, plan, &rule, worker);
      for (Index i = 0; i < size; ++i) merge(round, queries[i], out.row(i), log_sum_exp[i]);
      if (round > 0) worker.executed.exponentials += 2 * static_cast<double>(size);
    }
  }

  static void gather(ConstView from, std::span<const std::int32_t> tokens, View to) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::copy_n(from.row(tokens[i]), from.cols, to.row(static_cast<Index>(i)));
    }
  }

  void gather_keys(std::span<const std::int32_t> tokens, View to) const {
    if (!options_.shared_keys) {
      gather(call_.k, tokens, to);
      return;
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const float factor = factors_[tokens[i]];
      const float* from = call_.q.row(tokens[i]);
      float* row = to.row(static_cast<Index>(i));
      for (Index c = 0; c < problem_.dim; ++c) row[c] = factor * from[c];
    }
  }

  /// Adds what a round found for a token, given the log of its normaliser.
  void merge(Index round, std::int32_t token, const float* found, float log_sum_exp) const {
    float* const out = call_.out.row(token);
    float& total = totals_[token];
    if (round == 0) {
      std::copy_n(found, problem_.value_dim, out);
      total = log_sum_exp;
      return;
    }
    if (log_sum_exp == kMinusInfinity) return;
    const float largest = std::max(total, log_sum_exp);
    const float before = std::exp(total - largest), added = std::exp(log_sum_exp - largest);
    const float sum = before + added;
    for (Index c = 0; c < problem_.value_dim; ++c) {
      out[c] = (before * out[c] + added * found[c]) / sum;
    }
    total = largest + std::log(sum);
  }

  const BucketAttention& options_;
  const Call& call_;
  const Problem& problem_;
  Index n_;
  std::span<float> totals_;   ///< log-sum-exps over the rounds so far
  std::span<float> factors_;  ///< that scale queries to length 1
  Sorted queries_, keys_;
};

}  // namespace

Scratch BucketAttention::scratch(const Problem& problem) const {
  const Index n = problem.queries, window = window_keys(*this, problem);
  const Index tile = tile_rows(*this, problem);
  Scratch scratch = Scratch()
                        .worker<std::int32_t>(window)
                        .worker<float>(window * problem.dim)
                        .worker<float>(window * problem.value_dim)
                        .worker<float>(tile * problem.dim)
                        .worker<float>(tile * problem.value_dim)
                        .worker<float>(tile);
  scratch.worker_bytes += softmax_scratch_bytes(tile, problem.dim, problem.value_dim);
  scratch.worker_bytes =
      std::max(scratch.worker_bytes, Scratch().worker<std::int32_t>(buckets + 1).worker_bytes);
  scratch.shared<float>(n);
  for (int side = 0; side < (shared_keys ? 1 : 2); ++side) {
    scratch.shared<std::int32_t>(rounds * n).shared<Place>(rounds * n);
  }
  if (shared_keys) scratch.shared<float>(n);
  return scratch;
}

void BucketAttention::forward(const Call& call, std::span<const std::int32_t> query_buckets,
                              std::span<const std::int32_t> key_buckets) const {
  Pass(*this, call, query_buckets, key_buckets).run();
}

}  // namespace subquad
