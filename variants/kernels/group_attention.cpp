#include "kernels/group_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

/// Queries whose groups are averaged by one tile.
constexpr Index kAverageRows = 256;

using Members = std::span<const std::int32_t>;

/// Hides keys after the query; queries are numbered as in a tile, keys as in K.
class Causality final : public ScoreEdit {
 public:
  Causality(const Problem& problem, Members queries) : problem_(problem), queries_(queries) {}

  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const Index position = problem_.position(queries_[query]);
    const auto future = std::upper_bound(keys.begin(), keys.end(), position) - keys.begin();
    std::fill(scores + future, scores + keys.size(), -std::numeric_limits<float>::infinity());
  }

 private:
  const Problem& problem_;
  Members queries_;
};

/// Queries of a group that are handled together, and how many tiles they take.
Index tile_rows(const GroupAttention& groups, const Problem& problem) {
  return softmax_tile_rows(groups.group_queries, problem.dim, problem.value_dim, Precision::f32);
}
Index tiles_per_group(const GroupAttention& groups, const Problem& problem) {
  const Index rows = tile_rows(groups, problem);
  return (groups.group_queries + rows - 1) / rows;
}

Members members_of(Members all, Index group, Index count) {
  return all.subspan(static_cast<std::size_t>(group * count), static_cast<std::size_t>(count));
}

/// One call: results of each membership first, then their averages.
class Pass {
 public:
  Pass(const GroupAttention& options, const Call& call, ConstView keys, Members query_members,
       Members key_members)
      : options_(options),
        call_(call),
        problem_(call.problem),
        keys_(keys),
        query_members_(query_members),
        key_members_(key_members),
        found_(call.run.shared().take_matrix(options.groups * options.group_queries,
                                             problem_.value_dim)),
        log_sum_exp_(call.run.shared().take<float>(options.groups * options.group_queries)) {}

  void run() const {
    const Index tiles = tiles_per_group(options_, problem_);
    call_.run.parallel(options_.groups * tiles, [&](Index index, Worker& worker) {
      attend(index / tiles, index % tiles, worker);
    });
    const Index averages = (problem_.queries + kAverageRows - 1) / kAverageRows;
    call_.run.parallel(averages, [&](Index tile, Worker& worker) { average(tile, worker); });
    if (call_.row_log_sum_exp == nullptr) return;
    call_.run.parallel(averages, [&](Index tile, Worker& worker) {
      const Index end = std::min((tile + 1) * kAverageRows, problem_.queries);
      for (Index i = tile * kAverageRows; i < end; ++i) weigh_union(i, worker);
    });
  }

  /// Memory of a worker that sums over the union of a query's groups.
  static Scratch union_scratch(const Problem& problem) {
    Scratch scratch;
    for (int list = 0; list < 3; ++list) scratch.worker<std::int32_t>(problem.keys);
    scratch.worker<float>(problem.value_dim);
    scratch.worker_bytes += softmax_scratch_bytes(1, problem.dim, problem.value_dim);
    return scratch;
  }

 private:
  void attend(Index group, Index tile, Worker& worker) const {
    const Index most = tile_rows(options_, problem_);
    const Index begin = tile * most, rows = std::min(most, options_.group_queries - begin);
    const Members queries =
        members_of(query_members_, group, options_.group_queries)
            .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(rows));
    Members keys = members_of(key_members_, group, options_.group_keys);
    if (problem_.causal) {
      const auto end =
          std::upper_bound(keys.begin(), keys.end(), problem_.position(queries.back()));
      keys = keys.first(static_cast<std::size_t>(end - keys.begin()));
    }
    KeyPlan plan(problem_.keys, {}, worker.scratch.take<std::int32_t>(options_.group_keys));
    plan.single(keys);
    const View q = worker.scratch.take_matrix(most, problem_.dim);
    for (Index i = 0; i < rows; ++i) {
      std::copy_n(call_.q.row(queries[i]), problem_.dim, q.row(i));
    }
    const Index first = group * options_.group_queries + begin;
    const SoftmaxOperands operands{.q = q,
                                   .k = keys_,
                                   .v = call_.v,
                                   .out = found_.row_range(first, rows),
                                   .row_log_sum_exp = log_sum_exp_.data() + first,
                                   .scale = static_cast<float>(options_.scale)};
    const Causality causality(problem_, queries);
    const bool hides =
        problem_.causal && !keys.empty() && keys.back() > problem_.position(queries.front());
    streaming_softmax(operands, {0, rows}, plan, hides ? &causality : nullptr, worker);
  }

  /// Log-sum-exp of one query over all keys that its groups show it, each counted once. Outputs are
  /// averages over groups, so this is a pass of its own, for those who ask.
  void weigh_union(Index query, Worker& worker) const {
    const std::size_t mark = worker.scratch.used();
    std::span<std::int32_t> seen = worker.scratch.take<std::int32_t>(problem_.keys);
    std::span<std::int32_t> other = worker.scratch.take<std::int32_t>(problem_.keys);
    const Index own = problem_.position(query);
    Index count = 0;
    for (Index group = 0; group < options_.groups; ++group) {
      const Members queries = members_of(query_members_, group, options_.group_queries);
      if (!std::binary_search(queries.begin(), queries.end(), query)) continue;
      const Members keys = members_of(key_members_, group, options_.group_keys);
      const auto end =
          problem_.causal ? std::upper_bound(keys.begin(), keys.end(), own) : keys.end();
      count = std::set_union(seen.begin(), seen.begin() + count, keys.begin(), end, other.begin()) -
              other.begin();
      std::swap(seen, other);
    }
    if (count == 0 && options_.self_if_alone && own < problem_.keys) {
      seen[count++] = static_cast<std::int32_t>(own);
    }
    KeyPlan plan(problem_.keys, {}, worker.scratch.take<std::int32_t>(problem_.keys));
    plan.single(seen.first(static_cast<std::size_t>(count)));
    const SoftmaxOperands operands{.q = call_.q.row_range(query, 1),
                                   .k = keys_,
                                   .v = call_.v,
                                   .out = worker.scratch.take_matrix(1, problem_.value_dim),
                                   .row_log_sum_exp = call_.row_log_sum_exp + query,
                                   .scale = static_cast<float>(options_.scale)};
    const Work executed = worker.executed;
    streaming_softmax(operands, {0, 1}, plan, nullptr, worker);
    worker.executed = executed;  // no part of the method
    worker.scratch.rewind(mark);
  }

  /// Groups one after the other, so that sums do not depend on threads.
  void average(Index tile, Worker& worker) const {
    const Index begin = tile * kAverageRows;
    const Index rows = std::min(kAverageRows, problem_.queries - begin);
    const View out = call_.out.row_range(begin, rows);
    // What is taken shall not depend on whether anybody asks for log-sum-exps.
    worker.scratch.take<std::byte>(static_cast<Index>(union_scratch(problem_).worker_bytes));
    worker.scratch.rewind(0);
    const std::span<std::int32_t> counts = worker.scratch.take<std::int32_t>(rows);
    std::fill(counts.begin(), counts.end(), 0);
    for (Index i = 0; i < rows; ++i) std::fill_n(out.row(i), out.cols, 0.0f);
    for (Index group = 0; group < options_.groups; ++group) {
      const Members members = members_of(query_members_, group, options_.group_queries);
      auto at = std::lower_bound(members.begin(), members.end(), begin);
      for (; at != members.end() && *at < begin + rows; ++at) {
        const Index slot = group * options_.group_queries + (at - members.begin());
        // Where causality left no key, there is nothing to average.
        if (log_sum_exp_[slot] == -std::numeric_limits<float>::infinity()) continue;
        ++counts[*at - begin];
        const float* const from = found_.row(slot);
        float* const to = out.row(*at - begin);
        for (Index c = 0; c < out.cols; ++c) to[c] += from[c];
      }
    }
    for (Index i = 0; i < rows; ++i) {
      const Index own = problem_.position(begin + i);
      if (counts[i] > 1) {
        const float share = 1 / static_cast<float>(counts[i]);
        for (Index c = 0; c < out.cols; ++c) out(i, c) *= share;
      } else if (counts[i] == 0 && options_.self_if_alone && own < problem_.keys) {
        std::copy_n(call_.v.row(own), out.cols, out.row(i));
      }
    }
  }

  const GroupAttention& options_;
  const Call& call_;
  const Problem& problem_;
  ConstView keys_;
  Members query_members_, key_members_;
  View found_;                    ///< outputs of each query in each of its groups
  std::span<float> log_sum_exp_;  ///< likewise
};

}  // namespace

Scratch GroupAttention::scratch(const Problem& problem) const {
  const Index rows = tile_rows(*this, problem);
  Scratch attending = Scratch().worker<std::int32_t>(group_keys).worker<float>(rows * problem.dim);
  attending.worker_bytes += softmax_scratch_bytes(rows, problem.dim, problem.value_dim);
  const Scratch averaging = Scratch().worker<std::int32_t>(std::min(kAverageRows, problem.queries));
  Scratch scratch = Scratch()
                        .shared<float>(groups * group_queries * problem.value_dim)
                        .shared<float>(groups * group_queries);
  scratch.worker_bytes = std::max(
      {attending.worker_bytes, averaging.worker_bytes, Pass::union_scratch(problem).worker_bytes});
  return scratch;
}

void GroupAttention::forward(const Call& call, ConstView keys,
                             std::span<const std::int32_t> query_members,
                             std::span<const std::int32_t> key_members) const {
  Pass(*this, call, keys, query_members, key_members).run();
}

}  // namespace subquad
