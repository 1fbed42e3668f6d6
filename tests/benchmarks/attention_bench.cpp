// Kernels that make up a whole head of attention: linear, channel by channel, in buckets.

#include "bench.h"
#include "expressions/expression.h"
#include "layers/layer.h"

namespace subquad::bench {
namespace {

Problem square(Index n, Index dim, bool causal) {
  return {.queries = n, .keys = n, .dim = dim, .value_dim = dim, .causal = causal};
}

/// A variant that is its kernel and little else.
void time_expression(benchmark::State& state, const char* text, bool causal) {
  const Problem problem = square(state.range(0), state.range(1), causal);
  const Layer layer(parse_expression(text), problem, 1);
  time_forward(state, layer.variant(0), problem);
}

void linear(benchmark::State& state) { time_expression(state, "linear", false); }
void causal_linear(benchmark::State& state) { time_expression(state, "linear", true); }
void by_channel(benchmark::State& state) { time_expression(state, "aft(kind=simple)", false); }
void by_channel_in_band(benchmark::State& state) {
  time_expression(state, "aft(kind=local)", false);
}
void in_buckets(benchmark::State& state) {
  time_expression(state, "lsh(rounds=2,bucket=64)", false);
}

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(linear)->Name("linear_attention/full")->Apply(lengths);
BENCHMARK(causal_linear)->Name("linear_attention/causal")->Apply(lengths);
BENCHMARK(by_channel)->Name("channel_attention/no_bias")->Apply(lengths);
BENCHMARK(by_channel_in_band)->Name("channel_attention/band")->Apply(lengths);
BENCHMARK(in_buckets)->Name("bucket_attention/two_rounds")->Apply(lengths);

}  // namespace
}  // namespace subquad::bench
