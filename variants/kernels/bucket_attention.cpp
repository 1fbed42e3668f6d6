#include "kernels/bucket_attention.h"

#include <algorithm>
#include <limits>

#include "kernels/bucket_pairs-inl.h"
#include "kernels/hashing.h"
#include "kernels/prefetch-inl.h"
#include "kernels/streaming_softmax.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Sorted tokens that a task of a worker takes on, in whole chunks.
constexpr Index kTaskTokens = 256;

/// Queries, or keys, as each round sorts them.
struct Side {
  std::span<const std::int32_t> buckets;  ///< [rounds, n]
  std::span<std::int32_t> order;          ///< [n]: tokens as the present round has sorted them
  std::span<std::int32_t> ends;           ///< [buckets]: places behind the buckets' last tokens
  /// [rounds, n]: bucket and chunk of each token in one number (across buckets, its chunk). Empty
  /// where nobody asks.
  std::span<std::int32_t> cells;
};

/// Extents that follow from the options and the problem.
struct Extents {
  Index n, chunk, chunks, tile_rows;
  Index window;  ///< keys that a query sees at the most
  Index cells_per_bucket;
  bool by_rank;          ///< chunks are cut in each bucket
  bool has_cells;        ///< cells are kept: to know what was found before, or to sort by chunk
  bool has_totals;       ///< rounds are merged
  Index earlier_rounds;  ///< rounds whose cells a tile looks at, at the most
  std::size_t worker_bytes;

  Extents(const BucketAttention& options, const Problem& problem)
      : n(problem.keys),
        chunk(std::min(options.chunk, std::max<Index>(n, 1))),
        chunks((n + chunk - 1) / chunk),
        tile_rows(
            std::min(softmax_tile_rows(problem.dim, problem.value_dim, options.precision), chunk)),
        window(std::min(2 * chunk, n)),
        cells_per_bucket(chunks + 1),
        by_rank(!options.shared_keys && !options.across_buckets),
        has_cells(options.across_buckets || (options.rounds > 1 && !options.duplicates)),
        has_totals(options.rounds > 1),
        earlier_rounds(options.duplicates ? 0 : options.rounds - 1),
        worker_bytes(
            Scratch()
                .worker<std::int32_t>(window)
                .worker<std::int32_t>(window)
                .worker<float>(window)
                .worker<std::int32_t>(earlier_rounds * window)
                .worker_bytes +
            softmax_scratch_bytes(tile_rows, problem.dim, problem.value_dim, options.precision)) {}
};

class Pass {
 public:
  Pass(const BucketAttention& options, const Call& call,
       std::span<const std::int32_t> query_buckets, std::span<const std::int32_t> key_buckets,
       std::span<const float> factors)
      : options_(options), call_(call), extents_(options, call.problem), factors_(factors) {
    Arena& arena = call.run.shared();
    queries_ = take_side(arena, query_buckets);
    keys_ = options.shared_keys ? queries_ : take_side(arena, key_buckets);
    operands_ = {.q = call.q,
                 .k = options.shared_keys ? call.q : call.k,
                 .v = call.v,
                 .out = call.out,
                 .row_log_sum_exp = call.row_log_sum_exp,
                 .scale = static_cast<float>(options.scale),
                 .causal = call.problem.causal,
                 .precision = options.precision};
    if (extents_.has_totals) {
      float* const totals = arena.take<float>(extents_.n).data();
      if (operands_.row_log_sum_exp == nullptr) operands_.row_log_sum_exp = totals;
    }
  }

  static Scratch scratch(const BucketAttention& options, const Problem& problem) {
    const Extents extents(options, problem);
    Scratch scratch;
    for (int side = 0; side < (options.shared_keys ? 1 : 2); ++side) {
      scratch.shared<std::int32_t>(extents.n)
          .shared<std::int32_t>(std::max(options.buckets, extents.chunks))
          .shared<std::int32_t>(extents.has_cells ? options.rounds * extents.n : 0);
    }
    scratch.shared<float>(extents.has_totals ? extents.n : 0);
    scratch.worker_bytes = extents.worker_bytes;
    return scratch;
  }

  void run() {
    const Index task = std::max<Index>(1, kTaskTokens / extents_.chunk);
    for (Index round = 0; round < options_.rounds; ++round) {
      call_.run.parallel(options_.shared_keys ? 1 : 2,
                         [&](Index side, Worker&) { sort(side == 0 ? queries_ : keys_, round); });
      if (extents_.by_rank && extents_.has_cells) number_by_rank(round);
      // A token is a query of one tile in each round: rounds one after the other merge in place.
      operands_.merge = round > 0;
      call_.run.parallel((extents_.chunks + task - 1) / task, [&](Index number, Worker& worker) {
        // What is taken shall not depend on how tokens spread over buckets.
        worker.scratch.take<std::byte>(static_cast<Index>(extents_.worker_bytes));
        worker.scratch.rewind(0);
        const Index end = std::min((number + 1) * task, extents_.chunks);
        for (Index chunk = number * task; chunk < end; ++chunk) attend(round, chunk, worker);
      });
    }
  }

 private:
  Side take_side(Arena& arena, std::span<const std::int32_t> buckets) const {
    return {buckets, arena.take<std::int32_t>(extents_.n),
            arena.take<std::int32_t>(std::max(options_.buckets, extents_.chunks)),
            arena.take<std::int32_t>(extents_.has_cells ? options_.rounds * extents_.n : 0)};
  }

  std::span<const std::int32_t> buckets(const Side& side, Index round) const {
    return side.buckets.subspan(static_cast<std::size_t>(round * extents_.n),
                                static_cast<std::size_t>(extents_.n));
  }

  std::span<std::int32_t> cells_of(const Side& side, Index round) const {
    return side.cells.subspan(static_cast<std::size_t>(round * extents_.n),
                              static_cast<std::size_t>(extents_.n));
  }

  void sort(const Side& side, Index round) const {
    const std::span<const std::int32_t> own = buckets(side, round);
    sort_by_bucket(own, side.order, side.ends.first(static_cast<std::size_t>(options_.buckets)));
    if (!extents_.has_cells || extents_.by_rank) return;
    const std::span<std::int32_t> cells = cells_of(side, round);
    const auto per_bucket =
        static_cast<std::int32_t>(options_.across_buckets ? 0 : extents_.cells_per_bucket);
    for (Index chunk = 0; chunk < extents_.chunks; ++chunk) {
      const Index end = std::min((chunk + 1) * extents_.chunk, extents_.n);
      for (Index place = chunk * extents_.chunk; place < end; ++place) {
        const std::int32_t token = side.order[place];
        cells[token] = own[token] * per_bucket + static_cast<std::int32_t>(chunk);
      }
    }
    // Across buckets, tokens of a chunk go by position.
    if (options_.across_buckets) {
      sort_by_bucket(cells, side.order, side.ends.first(static_cast<std::size_t>(extents_.chunks)));
    }
  }

  /// Cells where chunks are cut in each bucket: a query's is that of the keys it is meant for.
  void number_by_rank(Index round) const {
    const std::span<std::int32_t> queries = cells_of(queries_, round);
    const std::span<std::int32_t> keys = cells_of(keys_, round);
    call_.run.parallel(options_.buckets, [&](Index number, Worker&) {
      const auto bucket = static_cast<std::int32_t>(number);
      const Index first = number * extents_.cells_per_bucket;
      Index rank = 0;
      for (const std::int32_t token : tokens(queries_, bucket_range(queries_, bucket))) {
        const Index chunk = key_chunk(bucket, rank++ / extents_.chunk);
        queries[token] = static_cast<std::int32_t>(first + chunk);
      }
      rank = 0;
      for (const std::int32_t token : tokens(keys_, bucket_range(keys_, bucket))) {
        keys[token] = static_cast<std::int32_t>(first + rank++ / extents_.chunk);
      }
    });
  }

  /// Sorted places [begin, end).
  struct Range {
    Index begin, end;
    Index size() const { return end - begin; }
    Range within(const Range& other) const {
      return {std::max(begin, other.begin), std::max(begin, std::min(end, other.end))};
    }
  };
  /// Chunks of a range that is cut from its beginning.
  Range chunk_of(const Range& whole, Index chunk) const {
    const Index begin = whole.begin + chunk * extents_.chunk;
    return {begin, std::min(begin + extents_.chunk, whole.end)};
  }
  Index chunks_of(const Range& whole) const {
    return (whole.size() + extents_.chunk - 1) / extents_.chunk;
  }
  /// Where chunks are cut in each bucket: the chunk of keys for a chunk of queries, as far along.
  Index key_chunk(std::int32_t bucket, Index query_chunk) const {
    return query_chunk * chunks_of(bucket_range(keys_, bucket)) /
           chunks_of(bucket_range(queries_, bucket));
  }
  Range bucket_range(const Side& side, std::int32_t bucket) const {
    return {bucket == 0 ? 0 : side.ends[bucket - 1], side.ends[bucket]};
  }
  static std::span<const std::int32_t> tokens(const Side& side, const Range& range) {
    if (range.begin >= range.end) return {};
    return side.order.subspan(static_cast<std::size_t>(range.begin),
                              static_cast<std::size_t>(range.end - range.begin));
  }

  /// Keys that the queries of a chunk see, in their bucket where that matters; ascending. Returns
  /// how many they are.
  Index list_keys(Index chunk, std::int32_t bucket, std::span<std::int32_t> list) const {
    const Range all{0, extents_.n};
    const Range bucket_keys = options_.across_buckets ? all : bucket_range(keys_, bucket);
    const Range& cut = extents_.by_rank ? bucket_keys : all;
    const Index last = extents_.chunks - 1;
    const bool wrapped = options_.wrap && chunk == 0 && last > 0;
    const Range before = wrapped      ? chunk_of(cut, last)
                         : chunk == 0 ? Range{0, 0}
                                      : chunk_of(cut, chunk - 1);
    const auto one = tokens(keys_, bucket_keys.within(before));
    const auto other = tokens(keys_, bucket_keys.within(chunk_of(cut, chunk)));
    return std::merge(one.begin(), one.end(), other.begin(), other.end(), list.begin()) -
           list.begin();
  }

  /// The tiles that begin in a chunk of all queries.
  void attend(Index round, Index chunk, Worker& worker) const {
    const Range all{0, extents_.n}, whole = chunk_of(all, chunk);
    for (Index begin = whole.begin; begin < whole.end;) {
      const std::int32_t bucket = buckets(queries_, round)[queries_.order[begin]];
      Range tile = whole;
      Index of_keys = chunk;
      if (extents_.by_rank) {
        const Range in_bucket = bucket_range(queries_, bucket);
        const Index number = chunks_of({in_bucket.begin, begin});  // the first from here on
        tile = chunk_of(in_bucket, number);
        of_keys = key_chunk(bucket, number);
        if (tile.size() > 0 && tile.begin >= whole.end) return;
      } else if (!options_.across_buckets) {
        tile = {begin, bucket_range(queries_, bucket).within(whole).end};
      }
      if (tile.size() > 0) attend_alike(round, of_keys, bucket, tile, worker);
      begin = tile.end;
    }
  }

  /// Queries that see the same keys.
  void attend_alike(Index round, Index chunk, std::int32_t bucket, const Range& queries,
                    Worker& worker) const {
    Arena& arena = worker.scratch;
    const std::size_t mark = arena.used();
    const std::span<std::int32_t> list = arena.take<std::int32_t>(extents_.window);
    const Index count = list_keys(chunk, bucket, list);
    const std::span<const std::int32_t> found = list.first(static_cast<std::size_t>(count));
    KeyPlan plan(extents_.n, {}, arena.take<std::int32_t>(extents_.window));
    plan.single(found);

    // (The same for keys and values costs as much at 4096 tokens as it saves at 65536.)
    prefetch_rows(call_.q, tokens(queries_, queries));
    prefetch_rows(call_.out, tokens(queries_, queries));

    const Earlier earlier = earlier_rounds(round);
    const TileKeys keys = tile_keys(found, earlier, arena);
    const PairRule rule(keys, earlier, static_cast<float>(options_.self_penalty));
    const bool ruled = keys.factors != nullptr || earlier.rounds > 0;
    for (Index begin = queries.begin; begin < queries.end; begin += extents_.tile_rows) {
      const Range tile{begin, std::min(begin + extents_.tile_rows, queries.end)};
      streaming_softmax(operands_, Rows::of(tokens(queries_, tile)), plan, ruled ? &rule : nullptr,
                        worker);
    }
    arena.rewind(mark);
  }

  Earlier earlier_rounds(Index round) const {
    if (options_.duplicates) return {};
    return {.rounds = round,
            .n = extents_.n,
            .cells = queries_.cells,
            .cells_per_bucket = static_cast<std::int32_t>(extents_.cells_per_bucket),
            .last_chunk = static_cast<std::int32_t>(extents_.chunks - 1),
            .wrap = options_.wrap};
  }

  TileKeys tile_keys(std::span<const std::int32_t> found, const Earlier& earlier,
                     Arena& arena) const {
    TileKeys keys{.tokens = found};
    const auto count = static_cast<Index>(found.size());
    if (options_.shared_keys) {
      float* const factors = arena.take<float>(extents_.window).data();
      for (Index j = 0; j < count; ++j) factors[j] = factors_[found[j]];
      keys.factors = factors;
    }
    if (earlier.rounds > 0) {
      std::int32_t* const cells = arena.take<std::int32_t>(earlier.rounds * extents_.window).data();
      for (Index r = 0; r < earlier.rounds; ++r) {
        const std::int32_t* const from = keys_.cells.data() + r * extents_.n;
        for (Index j = 0; j < count; ++j) cells[r * count + j] = from[found[j]];
      }
      keys.cells = cells;
    }
    return keys;
  }

  const BucketAttention& options_;
  const Call& call_;
  Extents extents_;
  std::span<const float> factors_;  ///< that scale queries to length 1
  Side queries_, keys_;
  SoftmaxOperands operands_;
};

}  // namespace
}  // namespace HWY_NAMESPACE

std::string BucketAttention::refuses(const Problem& problem) const {
  const double chunks = static_cast<double>(problem.keys) / static_cast<double>(chunk) + 2;
  if (chunks * static_cast<double>(buckets) < std::numeric_limits<std::int32_t>::max()) return {};
  return "chunks times buckets exceed 2^31: larger buckets or chunks are needed";
}

Scratch BucketAttention::scratch(const Problem& problem) const {
  return HWY_NAMESPACE::Pass::scratch(*this, problem);
}

void BucketAttention::forward(const Call& call, std::span<const std::int32_t> query_buckets,
                              std::span<const std::int32_t> key_buckets,
                              std::span<const float> query_factors) const {
  HWY_NAMESPACE::Pass(*this, call, query_buckets, key_buckets, query_factors).run();
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
