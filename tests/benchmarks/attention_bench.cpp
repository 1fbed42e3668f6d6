// Kernels that make up a whole head of attention: linear, channel by channel, in buckets.

#include "bench.h"

namespace subquad::bench {
namespace {

void time_square(benchmark::State& state, const char* text, bool causal) {
  time_expression(state, text, square(state.range(0), state.range(1), causal));
}

void linear(benchmark::State& state) { time_square(state, "linear", false); }
void causal_linear(benchmark::State& state) { time_square(state, "linear", true); }
void retention(benchmark::State& state) { time_square(state, "retention", true); }
void gated(benchmark::State& state) { time_square(state, "gated", true); }
void performer(benchmark::State& state) { time_square(state, "performer(features=128)", false); }
void delta(benchmark::State& state) { time_square(state, "delta(gate=constant)", true); }
void by_channel(benchmark::State& state) { time_square(state, "aft(kind=simple)", false); }
void by_channel_in_band(benchmark::State& state) { time_square(state, "aft(kind=local)", false); }
void merged_patterns(benchmark::State& state) {
  time_square(state, "union(local(radius=64),random_pattern(keys=64))", false);
}
void in_buckets(benchmark::State& state) { time_square(state, "lsh(rounds=2,bucket=64)", false); }
void in_sampled_blocks(benchmark::State& state) { time_square(state, "hyper", false); }

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
/// The last comes from memory.
void linear_lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 4096, 65536}, {64}});
}
BENCHMARK(linear)->Name("linear_attention/full")->Apply(linear_lengths);
BENCHMARK(causal_linear)->Name("linear_attention/causal")->Apply(linear_lengths);
BENCHMARK(retention)->Name("linear_attention/one_gate")->Apply(lengths);
BENCHMARK(gated)->Name("linear_attention/gates")->Apply(lengths);
BENCHMARK(performer)->Name("linear_attention/scales")->Apply(lengths);
BENCHMARK(delta)->Name("delta_rule/chunks")->Apply(lengths);
BENCHMARK(by_channel)->Name("channel_attention/no_bias")->Apply(lengths);
BENCHMARK(by_channel_in_band)->Name("channel_attention/band")->Apply(lengths);
BENCHMARK(merged_patterns)->Name("plan_pieces/union")->Apply(lengths);
BENCHMARK(in_buckets)->Name("bucket_attention/two_rounds")->Apply(lengths);
BENCHMARK(in_sampled_blocks)->Name("sampled_blocks/full")->Apply(lengths);

}  // namespace
}  // namespace subquad::bench
