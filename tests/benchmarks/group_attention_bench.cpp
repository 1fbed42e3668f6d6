// Attention inside overlapping groups.

#include "bench.h"

namespace subquad::bench {
namespace {

void in_groups(benchmark::State& state) {
  time_expression(state, "routing", square(state.range(0), state.range(1), false));
}
void in_causal_groups(benchmark::State& state) {
  time_expression(state, "routing(qk=shared)", square(state.range(0), state.range(1), true));
}

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(in_groups)->Name("group_attention/full")->Apply(lengths);
BENCHMARK(in_causal_groups)->Name("group_attention/causal")->Apply(lengths);

}  // namespace
}  // namespace subquad::bench
