// Random features, and attention by them beyond a window.

#include "bench.h"
#include "kernels/random_features.h"

namespace subquad::bench {
namespace {

void far_keys(benchmark::State& state, bool causal) {
  time_expression(state, "scatterbrain(radius=0)", square(state.range(0), state.range(1), causal));
}
void both_sides(benchmark::State& state) { far_keys(state, false); }
void causal(benchmark::State& state) { far_keys(state, true); }

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(both_sides)->Name("far_attention/full")->Apply(lengths);
BENCHMARK(causal)->Name("far_attention/causal")->Apply(lengths);

void features(benchmark::State& state) {
  const Index rows = 64, dim = state.range(0), count = state.range(1);
  Matrix from(rows, dim), directions(count, dim, 2), to(rows, count);
  std::vector<float> logs(static_cast<std::size_t>(rows));
  Scratch scratch;
  scratch.worker_bytes = positive_features_scratch_bytes(rows, dim, count);
  SimpleRun run(scratch);
  const auto values = static_cast<double>(rows * count);
  time_kernel(state, run,
              {.multiply_adds = values * static_cast<double>(dim), .exponentials = values}, 0, [&] {
                positive_features(from.view(), directions.view(), 0.35, to.view(), logs,
                                  run.worker());
              });
}
BENCHMARK(features)
    ->Name("random_features/positive")
    ->ArgNames({"dim", "features"})
    ->ArgsProduct({{64}, {64, 256}});

}  // namespace
}  // namespace subquad::bench
