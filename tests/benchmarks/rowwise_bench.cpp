// Passes over rows: exponentials and memory.

#include <algorithm>

#include "bench.h"
#include "kernels/rowwise.h"

namespace subquad::bench {
namespace {

/// One pass over a row of so many values, which is brought back first where the pass changes it.
template <class Pass>
void time_pass(benchmark::State& state, double exponentials, double bytes_per_value, Pass pass) {
  const Index count = state.range(0);
  Matrix row(1, count);
  const auto values = static_cast<double>(count);
  time_work(state, {.exponentials = exponentials * values}, {}, bytes_per_value * values,
            [&] { pass(std::span<float>(row.values())); });
}

void exp_minus_row(benchmark::State& state) {
  // Results of one pass, from 0 to 1, are the values of the next.
  time_pass(state, 1, 8,
            [](std::span<float> values) { benchmark::DoNotOptimize(exp_minus(values, 1)); });
}
void softmax_row(benchmark::State& state) {
  time_pass(state, 1, 8,
            [](std::span<float> values) { benchmark::DoNotOptimize(softmax_in_place(values)); });
}
void gelu_row(benchmark::State& state) {
  // Each pass on a fresh copy, which is timed with it: results of results would soon be subnormal.
  Matrix source(1, state.range(0));
  time_pass(state, 1, 8, [&](std::span<float> values) {
    std::copy(source.values().begin(), source.values().end(), values.begin());
    gelu_in_place(values);
  });
}
void tanh_row(benchmark::State& state) {
  time_pass(state, 1, 8, [](std::span<float> values) { tanh_in_place(values); });
}
/// Scores of one query of additive attention with a block of keys.
void sum_of_tanh_block(benchmark::State& state) {
  const Index hidden = state.range(0), keys = 64;
  Matrix projected(hidden, keys), query(1, hidden), weights(1, hidden), sums(1, keys);
  const double pairs = static_cast<double>(hidden * keys);
  time_work(state, {.exponentials = pairs}, {}, 4 * pairs, [&] {
    sum_of_tanh(projected.view(), query.values().data(), weights.values().data(),
                sums.values().data());
  });
}
void max_row(benchmark::State& state) {
  time_pass(state, 0, 4, [](std::span<float> values) { benchmark::DoNotOptimize(max_of(values)); });
}
void scale_row(benchmark::State& state) {
  time_pass(state, 0, 8, [](std::span<float> values) { scale_by(values, 0.9999999f); });
}

void row_lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgName("n")->Arg(512)->Arg(4096)->Arg(1 << 20);
}
BENCHMARK(exp_minus_row)->Name("rowwise/exp_minus")->Apply(row_lengths);
BENCHMARK(softmax_row)->Name("rowwise/softmax_in_place")->Apply(row_lengths);
BENCHMARK(gelu_row)->Name("rowwise/gelu_in_place")->Apply(row_lengths);
BENCHMARK(tanh_row)->Name("rowwise/tanh_in_place")->Apply(row_lengths);
BENCHMARK(sum_of_tanh_block)->Name("rowwise/sum_of_tanh")->ArgName("hidden")->Arg(32)->Arg(256);
BENCHMARK(max_row)->Name("rowwise/max_of")->Apply(row_lengths);
BENCHMARK(scale_row)->Name("rowwise/scale_by")->Apply(row_lengths);

}  // namespace
}  // namespace subquad::bench
