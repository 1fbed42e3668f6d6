// The softmax kernel over the plans that variants make, and the ladder below it: textbook loops,
// the n x n form, tiles.

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "bench.h"
#include "subquad/restriction.h"

namespace subquad::bench {
namespace {

/// Every other key for every query, by its index.
class EveryOtherKey final : public Restriction {
 public:
  bool sees(const PlanCall&, Index, Index key) const override { return key % 2 == 0; }
  void plan(const PlanCall& call, Rows, KeyPlan& keys) const override {
    if (numbers_.empty()) {
      for (Index key = 0; key < call.problem.keys; key += 2) {
        numbers_.push_back(static_cast<std::int32_t>(key));
      }
    }
    keys.single(numbers_);
  }
  PlanLimits plan_limits(const Problem& problem) const override {
    return {.spans = 1, .singles = (problem.keys + 1) / 2};
  }
  double pairs(const Problem& problem) const override {
    return static_cast<double>(problem.queries) * static_cast<double>((problem.keys + 1) / 2);
  }

 private:
  mutable std::vector<std::int32_t> numbers_;
};

/// Attention as one would write it down, query by query and key by key.
void textbook_loops(ConstView q, ConstView k, ConstView v, View out, float scale) {
  std::vector<float> weights(static_cast<std::size_t>(k.rows));
  for (Index i = 0; i < q.rows; ++i) {
    float largest = -std::numeric_limits<float>::infinity();
    for (Index j = 0; j < k.rows; ++j) {
      float dot = 0;
      for (Index c = 0; c < q.cols; ++c) dot += q(i, c) * k(j, c);
      weights[j] = scale * dot;
      largest = std::max(largest, weights[j]);
    }
    float sum = 0;
    for (float& weight : weights) sum += weight = std::exp(weight - largest);
    std::fill_n(out.row(i), out.cols, 0.0f);
    for (Index j = 0; j < k.rows; ++j) {
      for (Index c = 0; c < v.cols; ++c) out(i, c) += weights[j] / sum * v(j, c);
    }
  }
}

void loops(benchmark::State& state) {
  const Problem problem = square(state.range(0), state.range(1));
  Matrix q(problem.queries, problem.dim, 1), k(problem.keys, problem.dim, 2);
  Matrix v(problem.keys, problem.value_dim, 3), out(problem.queries, problem.value_dim);
  const double pairs = problem.pairs();
  const Work work{.multiply_adds = pairs * static_cast<double>(2 * problem.dim),
                  .exponentials = pairs};
  time_work(state, work, work, 0, [&] {
    textbook_loops(q.view(), k.view(), v.view(), out.view(),
                   static_cast<float>(problem.score_scale()));
  });
}
BENCHMARK(loops)
    ->Name("streaming_softmax/ladder/loops")
    ->ArgNames({"n", "dim"})
    ->ArgsProduct({{512, 2048}, {64}});

void whole_matrix(benchmark::State& state) {
  time_expression(state, "naive", square(state.range(0), state.range(1)));
}
BENCHMARK(whole_matrix)
    ->Name("streaming_softmax/ladder/whole_matrix")
    ->ArgNames({"n", "dim"})
    ->ArgsProduct({{512, 2048}, {64}});

void dense(benchmark::State& state) {
  time_expression(state, "dense", square(state.range(0), state.range(1)));
}
void causal(benchmark::State& state) {
  time_expression(state, "dense", square(state.range(0), state.range(1), true));
}
void lengths_and_widths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"});
  for (const Index n : {512, 1024, 2048, 4096, 8192}) bench->Args({n, 64});
  for (const Index dim : {15, 40, 80, 128, 256}) bench->Args({2048, dim});
}
BENCHMARK(dense)->Name("streaming_softmax/dense")->Apply(lengths_and_widths);
BENCHMARK(causal)->Name("streaming_softmax/causal")->Apply(lengths_and_widths);

void band(benchmark::State& state) {
  time_expression(state, "local(radius=64)", square(state.range(0), state.range(1)));
}
BENCHMARK(band)
    ->Name("streaming_softmax/band_of_64")
    ->ArgNames({"n", "dim"})
    ->ArgsProduct({{2048, 8192, 65536}, {64}});

void gathered(benchmark::State& state) {
  time_forward(state, EveryOtherKey(), square(state.range(0), state.range(1)));
}
BENCHMARK(gathered)
    ->Name("streaming_softmax/every_other_key")
    ->ArgNames({"n", "dim"})
    ->ArgsProduct({{2048, 8192}, {64}});

void one_query(benchmark::State& state) {
  Problem problem = square(state.range(0), state.range(1), true);
  problem.queries = 1;
  problem.first_query = problem.keys - 1;
  time_expression(state, "dense", problem);
}
BENCHMARK(one_query)
    ->Name("streaming_softmax/one_query")
    ->ArgNames({"n", "dim"})
    ->ArgsProduct({{2048, 65536}, {64}});

}  // namespace
}  // namespace subquad::bench
