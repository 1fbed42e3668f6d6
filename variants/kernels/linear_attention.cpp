#include "kernels/linear_attention.h"

#include <algorithm>

#include "kernels/product.h"
#include "kernels/triangular.h"
#include "subquad/eigen.h"
#include "subquad/restriction.h"

namespace subquad {
namespace {

/// Keys [0, keys) as segments: first those that come before every query (all keys, where nothing is
/// causal), then, if causal, one segment for each segment of queries but the last.
struct Segments {
  Index before = 0;        ///< keys before every query
  Index before_count = 0;  ///< segments that they make up
  Index before_length = 0;
  Index query_count = 0;  ///< segments of queries
  Index query_length = 0;

  Segments(const Problem& problem, Index chunk) {
    before =
        problem.causal ? std::clamp<Index>(problem.first_query, 0, problem.keys) : problem.keys;
    cut(before, chunk, before_length, before_count);
    cut(problem.queries, chunk, query_length, query_count);
  }
  /// States to compute: what each segment of keys adds.
  Index states(const Problem& problem) const {
    return before_count + (problem.causal ? query_count - 1 : 0);
  }
  Rows keys(const Problem& problem, Index state) const {
    const bool is_before = state < before_count;
    const Index begin = is_before ? state * before_length
                                  : problem.first_query + (state - before_count) * query_length;
    const Index end = std::min(begin + (is_before ? before_length : query_length),
                               is_before ? before : problem.keys);
    return {begin, std::max<Index>(end - begin, 0), 1};
  }

 private:
  static void cut(Index rows, Index chunk, Index& length, Index& count) {
    const Index chunks = (rows + chunk - 1) / chunk;
    length = std::max<Index>((chunks + kLinearSegments - 1) / kLinearSegments, 1) * chunk;
    count = (rows + length - 1) / length;
  }
};

/// S [features, value_dim] and z [features], side by side in memory.
struct State {
  View sums;
  float* normaliser;

  State(float* memory, Index features, Index value_dim)
      : sums(memory, features, value_dim), normaliser(memory + features * value_dim) {}
  static Index size(Index features, Index value_dim) { return features * (value_dim + 1); }

  void clear() { std::fill_n(sums.data, size(sums.rows, sums.cols), 0.0f); }
  void add(const State& other) {
    const Index count = size(sums.rows, sums.cols);
    for (Index i = 0; i < count; ++i) sums.data[i] += other.sums.data[i];
  }
  void add_keys(ConstView features, ConstView values, Worker& worker) {
    multiply_left_transposed(features, values, sums, worker, 1, true);
    for (Index i = 0; i < features.rows; ++i) {
      for (Index j = 0; j < features.cols; ++j) normaliser[j] += features(i, j);
    }
  }
};

/// Buffers of one worker for chunks.
struct Buffers {
  View features, query_features, scores;

  Buffers(Arena& arena, Index rows, Index feature_count)
      : features(arena.take_matrix(rows, feature_count)),
        query_features(arena.take_matrix(rows, feature_count)),
        scores(arena.take_matrix(rows, rows)) {}
};

class Pass {
 public:
  Pass(const LinearAttention& options, const Call& call)
      : options_(options),
        call_(call),
        problem_(call.problem),
        chunk_(std::min(options.chunk, std::max(problem_.keys, problem_.queries))),
        features_(options.map.features(problem_.dim)),
        segments_(problem_, options.chunk),
        states_(call.run.shared().take_matrix(segments_.states(problem_),
                                              State::size(features_, problem_.value_dim))) {}

  void run() {
    call_.run.parallel(states_.rows, [&](Index index, Worker& worker) { sum(index, worker); });
    call_.run.parallel(segments_.query_count,
                       [&](Index index, Worker& worker) { write(index, worker); });
  }

 private:
  State state(Index index) const { return {states_.row(index), features_, problem_.value_dim}; }

  ConstView map_keys(Index begin, Index count, const Buffers& buffers, Worker& worker) const {
    const View features = buffers.features.row_range(0, count);
    options_.map.map_keys(call_.k.row_range(begin, count), features, worker);
    return features;
  }

  /// What a segment of keys adds to the state.
  void sum(Index index, Worker& worker) const {
    const Buffers buffers(worker.scratch, chunk_, features_);
    State total = state(index);
    total.clear();
    const Rows keys = segments_.keys(problem_, index);
    for (Index done = 0; done < keys.count; done += chunk_) {
      const Index count = std::min(chunk_, keys.count - done);
      total.add_keys(map_keys(keys.begin + done, count, buffers, worker),
                     call_.v.row_range(keys.begin + done, count), worker);
    }
  }

  /// The outputs of a segment of queries.
  void write(Index segment, Worker& worker) const {
    State carried(worker.scratch.take<float>(State::size(features_, problem_.value_dim)).data(),
                  features_, problem_.value_dim);
    carried.clear();
    const Index behind = segments_.before_count + (problem_.causal ? segment : 0);
    for (Index i = 0; i < behind; ++i) carried.add(state(i));

    const Buffers buffers(worker.scratch, chunk_, features_);
    const Index begin = segment * segments_.query_length;
    const Index end = std::min(begin + segments_.query_length, problem_.queries);
    for (Index i = begin; i < end; i += chunk_) {
      write_chunk(i, std::min(chunk_, end - i), carried, buffers, worker);
    }
  }

  void write_chunk(Index begin, Index count, State& carried, const Buffers& buffers,
                   Worker& worker) const {
    const View queries = buffers.query_features.row_range(0, count);
    options_.map.map_queries(call_.q.row_range(begin, count), queries, worker);
    const View out = call_.out.row_range(begin, count);
    multiply(queries, carried.sums, out, worker);

    const Index first_key = std::min(problem_.position(begin), problem_.keys);
    const Index keys = problem_.causal ? std::min(count, problem_.keys - first_key) : 0;
    const View scores = buffers.scores.row_range(0, count).col_range(0, keys);
    if (keys > 0) {
      const ConstView features = map_keys(first_key, keys, buffers, worker);
      const ConstView values = call_.v.row_range(first_key, keys);
      multiply_transposed(queries, features, scores, worker);
      multiply_lower(scores, values, out, 0, worker, true);
    }
    for (Index i = 0; i < count; ++i)
      divide(i, std::min(i + 1, keys), queries, scores, carried, out);
    worker.executed.multiply_adds += static_cast<double>(count * features_);
    if (keys > 0) {
      carried.add_keys(buffers.features.row_range(0, keys), call_.v.row_range(first_key, keys),
                       worker);
    }
  }

  /// Row i of a chunk, `seen` keys of the chunk itself among those that it sees.
  void divide(Index i, Index seen, View queries, View scores, const State& carried,
              View out) const {
    using Row = Eigen::Map<const Eigen::ArrayXf>;
    const float before =
        (Row(queries.row(i), features_) * Row(carried.normaliser, features_)).sum();
    const float inside = seen > 0 ? Row(scores.row(i), seen).sum() : 0.0f;
    const float factor = 1 / (before + inside + static_cast<float>(options_.epsilon));
    for (Index c = 0; c < out.cols; ++c) out(i, c) *= factor;
  }

  const LinearAttention& options_;
  const Call& call_;
  const Problem& problem_;
  Index chunk_;
  Index features_;
  Segments segments_;
  View states_;
};

}  // namespace

Scratch LinearAttention::scratch(const Problem& problem) const {
  const Index rows = std::min(chunk, std::max(problem.keys, problem.queries));
  const Index features = map.features(problem.dim);
  const Index state = State::size(features, problem.value_dim);
  const std::size_t mapping = map.scratch_bytes(rows, problem.dim);
  const std::size_t adding = product_scratch_bytes(features, problem.value_dim, rows);
  std::size_t writing = std::max(mapping, product_scratch_bytes(rows, problem.value_dim, features));
  if (problem.causal) {
    writing = std::max({writing, adding, product_scratch_bytes(rows, rows, features),
                        multiply_lower_scratch_bytes(rows, problem.value_dim, rows, 0)});
  }
  writing += Scratch().worker<float>(state).worker_bytes;
  // Segments of keys are summed before segments of queries are written.
  const Index states = Segments(problem, chunk).states(problem);
  const std::size_t inside = std::max(states > 0 ? std::max(mapping, adding) : 0, writing);
  return Scratch()
      .shared<float>(states * state)
      .worker<float>(rows * features)
      .worker<float>(rows * features)
      .worker<float>(rows * rows)
      .worker<std::byte>(static_cast<Index>(inside));
}

void LinearAttention::forward(const Call& call) const { Pass(*this, call).run(); }

}  // namespace subquad
