#include "kernels/far_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "kernels/product.h"
#include "kernels/random_features.h"
#include "kernels/rowwise.h"
#include "kernels/triangular.h"
#include "subquad/restriction.h"

namespace subquad {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
/// Queries of a chunk.
constexpr Index kChunk = 64;
/// Segments of queries, each with a state to start from, at the most.
constexpr Index kSegments = 16;

/// Keys before the near ones, or, with places counted from the last, those after them.
struct Side {
  const NearKeys& near;
  bool reversed;
  Index first;  ///< of a window: position of the first query, minus the radius
  Index queries, keys;
  Index pieces;          ///< chunks of a block
  Index segment_chunks;  ///< chunks of a segment
  Index segments;

  Side(const Problem& problem, const NearKeys& near, bool reversed)
      : near(near),
        reversed(reversed),
        first((reversed ? problem.keys - problem.queries - problem.first_query
                        : problem.first_query) -
              near.radius),
        queries(problem.queries),
        keys(problem.keys) {
    const Index blocks = std::max<Index>(near.blocks, 1);
    pieces = ((queries + blocks - 1) / blocks + kChunk - 1) / kChunk;
    segment_chunks = (chunks() + kSegments - 1) / kSegments;
    segments = (chunks() + segment_chunks - 1) / segment_chunks;
  }

  Index chunks() const { return std::max<Index>(near.blocks, 1) * pieces; }
  /// Queries of a chunk; none for some of those at the end of a block.
  Rows chunk(Index number) const {
    Index begin = 0, end = queries;
    if (near.blocks > 0) {
      const Index block = reversed ? near.blocks - 1 - number / pieces : number / pieces;
      begin = near.begin_of_block(queries, block);
      end = near.begin_of_block(queries, block + 1);
      if (reversed) std::tie(begin, end) = std::pair(queries - end, queries - begin);
    }
    begin = std::min(begin + number % pieces * kChunk, end);
    return {begin, std::min(kChunk, end - begin)};
  }

  Index query_place(Index i) const { return reversed ? queries - 1 - i : i; }
  Index key_place(Index j) const { return reversed ? keys - 1 - j : j; }
  /// Keys that query i has behind it: all below.
  Index end_of_keys(Index i) const {
    if (near.blocks == 0) return std::clamp<Index>(first + i, 0, keys);
    if (i >= queries) return keys;
    const Index block = ((query_place(i) + 1) * near.blocks - 1) / queries;
    return reversed ? keys - near.begin_of_block(keys, block + 1)
                    : near.begin_of_block(keys, block);
  }
  bool any() const { return end_of_keys(queries - 1) > 0; }
};

/// sum_j exp(log_j - scale) phi_j [v_j, 1]^T, [features, value_dim + 1].
struct State {
  View sums;
  float* scale;

  State(float* memory, Index features, Index columns)
      : sums(memory + 1, features, columns), scale(memory) {}
  static Index size(Index features, Index columns) { return features * columns + 1; }

  void clear() {
    *scale = kMinusInfinity;
    std::fill_n(sums.data, sums.rows * sums.cols, 0.0f);
  }
  /// Makes room for summands of this scale.
  void rescale(float to) {
    if (!(to > *scale)) return;
    const float factor = std::exp(*scale - to);
    for (Index i = 0; i < sums.rows * sums.cols; ++i) sums.data[i] *= factor;
    *scale = to;
  }
  void add(const State& other) {
    if (*other.scale == kMinusInfinity) return;
    rescale(*other.scale);
    const float factor = std::exp(*other.scale - *scale);
    for (Index i = 0; i < sums.rows * sums.cols; ++i) sums.data[i] += factor * other.sums.data[i];
  }
};

/// Rows of a chunk, in the side's order: features, with their logs, and values with a 1 behind.
struct Chunk {
  View rows, features, values;
  std::span<float> logs;

  Chunk(Arena& arena, Index dim, Index feature_count, Index columns)
      : rows(arena.take_matrix(kChunk, dim)),
        features(arena.take_matrix(kChunk, feature_count)),
        values(arena.take_matrix(kChunk, columns)),
        logs(arena.take<float>(kChunk)) {}
  static void declare(Scratch& scratch, Index dim, Index feature_count, Index columns) {
    scratch.worker<float>(kChunk * dim)
        .worker<float>(kChunk * feature_count)
        .worker<float>(kChunk * columns)
        .worker<float>(kChunk);
  }
};

class Pass {
 public:
  Pass(const FarAttention& options, const Call& call, const Side& side, View states,
       std::span<float> log_sum_exp)
      : options_(options),
        call_(call),
        side_(side),
        features_(options.directions.rows),
        columns_(call.problem.value_dim + 1),
        states_(states),
        log_sum_exp_(log_sum_exp) {}

  void run() const {
    call_.run.parallel(side_.segments, [&](Index index, Worker& worker) { sum(index, worker); });
    call_.run.parallel(side_.segments, [&](Index index, Worker& worker) { write(index, worker); });
  }

 private:
  Index query_row(Index i) const {
    const Index place = side_.query_place(i);
    return options_.query_order.empty() ? place : options_.query_order[place];
  }
  Index key_row(Index j) const {
    const Index place = side_.key_place(j);
    return options_.key_order.empty() ? place : options_.key_order[place];
  }
  Index first_query(Index segment) const {
    return side_.chunk(segment * side_.segment_chunks).begin;
  }

  State state(Index index) const { return {states_.row(index), features_, columns_}; }

  void load_keys(Index begin, Index count, Chunk& chunk, Worker& worker) const {
    for (Index j = 0; j < count; ++j) {
      const Index row = key_row(begin + j);
      std::copy_n(call_.k.row(row), chunk.rows.cols, chunk.rows.row(j));
      std::copy_n(call_.v.row(row), columns_ - 1, chunk.values.row(j));
      chunk.values(j, columns_ - 1) = 1;
    }
    map(count, chunk, worker);
  }
  void load_queries(Index begin, Index count, Chunk& chunk, Worker& worker) const {
    for (Index i = 0; i < count; ++i) {
      std::copy_n(call_.q.row(query_row(begin + i)), chunk.rows.cols, chunk.rows.row(i));
    }
    map(count, chunk, worker);
  }
  void map(Index count, Chunk& chunk, Worker& worker) const {
    positive_features(chunk.rows.row_range(0, count), options_.directions,
                      std::sqrt(call_.problem.score_scale()), chunk.features.row_range(0, count),
                      chunk.logs, worker);
  }

  /// Adds the keys of a chunk, whose features it changes.
  void add(Index count, Chunk& chunk, State& to, Worker& worker) const {
    if (count == 0) return;
    to.rescale(*std::max_element(chunk.logs.begin(), chunk.logs.begin() + count));
    for (Index j = 0; j < count; ++j) {
      scale_by({chunk.features.row(j), static_cast<std::size_t>(features_)},
               std::exp(chunk.logs[j] - *to.scale));
    }
    multiply_left_transposed(chunk.features.row_range(0, count), chunk.values.row_range(0, count),
                             to.sums, worker, 1, true);
  }

  /// Loads and adds keys [begin, end).
  void add_keys(Index begin, Index end, Chunk& chunk, State& to, Worker& worker) const {
    for (; begin < end; begin += kChunk) {
      const Index count = std::min(kChunk, end - begin);
      load_keys(begin, count, chunk, worker);
      add(count, chunk, to, worker);
    }
  }

  /// The keys that the first query of a segment has behind it, and that of the one before had not.
  void sum(Index segment, Worker& worker) const {
    Chunk chunk(worker.scratch, call_.problem.dim, features_, columns_);
    State total = state(segment);
    total.clear();
    add_keys(segment == 0 ? 0 : side_.end_of_keys(first_query(segment - 1)),
             side_.end_of_keys(first_query(segment)), chunk, total, worker);
  }

  void write(Index segment, Worker& worker) const {
    Arena& arena = worker.scratch;
    State carried(arena.take<float>(State::size(features_, columns_)).data(), features_, columns_);
    carried.clear();
    for (Index i = 0; i <= segment; ++i) carried.add(state(i));
    Chunk keys(arena, call_.problem.dim, features_, columns_);
    Chunk queries(arena, call_.problem.dim, features_, columns_);
    const View products = arena.take_matrix(kChunk, kChunk);
    const std::span<float> factors = arena.take<float>(kChunk);
    Index added = side_.end_of_keys(first_query(segment));
    const Index end = std::min((segment + 1) * side_.segment_chunks, side_.chunks());
    for (Index number = segment * side_.segment_chunks; number < end; ++number) {
      const auto [begin, count] = std::pair(side_.chunk(number).begin, side_.chunk(number).count);
      if (count == 0) continue;
      const Index first_key = side_.end_of_keys(begin);
      add_keys(added, first_key, keys, carried, worker);
      // In a window: keys that the last query of the chunk has behind it, and the first has not,
      // and one more.
      const Index edge = side_.near.blocks > 0 ? 0 : side_.end_of_keys(begin + count) - first_key;
      added = first_key + edge;
      if (edge == 0 && *carried.scale == kMinusInfinity) continue;
      load_keys(first_key, edge, keys, worker);
      load_queries(begin, count, queries, worker);
      const View found = queries.values.row_range(0, count);
      multiply(queries.features.row_range(0, count), carried.sums, found, worker);
      const Index diagonal = side_.first + begin - first_key - 1;
      const View near = products.row_range(0, count).col_range(0, edge);
      if (edge > 0) {
        multiply_transposed(queries.features.row_range(0, count), keys.features.row_range(0, edge),
                            near, worker);
      }
      for (Index i = 0; i < count; ++i) {
        const Index seen = std::clamp<Index>(diagonal + i + 1, 0, edge);
        queries.logs[i] += to_one_scale({near.row(i), static_cast<std::size_t>(seen)}, keys.logs,
                                        *carried.scale, found.row(i), factors);
        worker.executed.exponentials += static_cast<double>(seen);
      }
      if (edge > 0) {
        multiply_lower(near, keys.values.row_range(0, edge), found, diagonal, worker, true);
      }
      for (Index i = 0; i < count; ++i) {
        merge(query_row(begin + i), found.row(i), queries.logs[i]);
      }
      add(edge, keys, carried, worker);
    }
  }

  /// Brings what the state gave a query and its products with single keys to the larger of their
  /// scales, which is returned. `factors` is scratch for as many numbers as there are products.
  float to_one_scale(std::span<float> products, std::span<const float> logs, float state_scale,
                     float* from_state, std::span<float> factors) const {
    logs = logs.first(products.size());
    const float scale = std::max(state_scale, max_of(logs));
    if (scale == kMinusInfinity) return scale;
    scale_by({from_state, static_cast<std::size_t>(columns_)}, std::exp(state_scale - scale));
    factors = factors.first(products.size());
    std::copy(logs.begin(), logs.end(), factors.begin());
    exp_minus(factors, scale);
    for (std::size_t j = 0; j < products.size(); ++j) products[j] *= factors[j];
    return scale;
  }

  /// `found`: the sum of weighted values, and of weights, times exp(log).
  void merge(Index query, const float* found, float log) const {
    const float sum = found[columns_ - 1];
    if (!(sum > 0) || log == kMinusInfinity) return;
    float& total = log_sum_exp_[query];
    float* const out = call_.out.row(query);
    const float added = log + std::log(sum), largest = std::max(total, added);
    const float old_weight = std::exp(total - largest), weight = std::exp(added - largest);
    const float norm = old_weight + weight;
    for (Index c = 0; c < columns_ - 1; ++c) {
      out[c] = (old_weight * out[c] + weight / sum * found[c]) / norm;
    }
    total = largest + std::log(norm);
  }

  const FarAttention& options_;
  const Call& call_;
  const Side& side_;
  Index features_, columns_;
  View states_;
  std::span<float> log_sum_exp_;
};

}  // namespace

bool FarAttention::any(const Problem& problem, const NearKeys& near) {
  return Side(problem, near, false).any() || (!problem.causal && Side(problem, near, true).any());
}

double FarAttention::multiply_adds(const Problem& problem, Index features, const NearKeys& near) {
  double rows = 0;
  for (const bool reversed : {false, true}) {
    if (reversed && problem.causal) continue;
    const Side side(problem, near, reversed);
    rows += static_cast<double>(side.end_of_keys(problem.queries - 1));
    for (Index i = 0; i < problem.queries; ++i) rows += side.end_of_keys(i) > 0;
  }
  return rows * static_cast<double>(features * (problem.dim + problem.value_dim + 1));
}

Scratch FarAttention::scratch(const Problem& problem, Index features, const NearKeys& near) {
  const Index columns = problem.value_dim + 1, state = State::size(features, columns);
  const Side side(problem, near, false);
  Scratch scratch;
  scratch.shared<float>(side.segments * state).worker<float>(state);
  Chunk::declare(scratch, problem.dim, features, columns);
  Chunk::declare(scratch, problem.dim, features, columns);
  scratch.worker<float>(kChunk * kChunk).worker<float>(kChunk);
  scratch.worker_bytes += std::max({positive_features_scratch_bytes(kChunk, problem.dim, features),
                                    product_scratch_bytes(kChunk, columns, features),
                                    product_scratch_bytes(kChunk, kChunk, features),
                                    product_scratch_bytes(features, columns, kChunk),
                                    multiply_lower_scratch_bytes(kChunk, columns, kChunk, -1)});
  return scratch;
}

void FarAttention::merge(const Call& call, std::span<float> log_sum_exp) const {
  const Index features = directions.rows;
  View states;
  for (const bool reversed : {false, true}) {
    if (reversed && call.problem.causal) continue;
    const Side side(call.problem, near, reversed);
    if (!side.any()) continue;
    if (states.empty()) {
      states = call.run.shared().take_matrix(side.segments,
                                             State::size(features, call.problem.value_dim + 1));
    }
    Pass(*this, call, side, states, log_sum_exp).run();
  }
}

}  // namespace subquad
