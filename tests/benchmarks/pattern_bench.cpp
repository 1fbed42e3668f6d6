// What fixed patterns share.

#include "bench.h"

namespace subquad::bench {
namespace {

void blocked(benchmark::State& state) {
  time_expression(state, "blocked(block=64)", square(state.range(0), state.range(1), false));
}

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(blocked)->Name("position_blocks/blocked")->Apply(lengths);

}  // namespace
}  // namespace subquad::bench
