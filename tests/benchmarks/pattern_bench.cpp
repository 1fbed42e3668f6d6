// What fixed patterns share.

#include <vector>

#include "bench.h"
#include "kernels/window_stream.h"

namespace subquad::bench {
namespace {

void blocked(benchmark::State& state) {
  time_expression(state, "blocked(block=64)", square(state.range(0), state.range(1), false));
}

/// One tile of global rows reads all keys, all others see eight of them.
void global(benchmark::State& state) {
  time_expression(state, "global(tokens=8)", square(state.range(0), state.range(1), false));
}

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(blocked)->Name("position_blocks/blocked")->Apply(lengths);
BENCHMARK(global)->Name("global_tokens/global")->Apply(lengths);

/// One step of a decoder whose window is full. It moves each key and value of the window.
void decode(benchmark::State& state) {
  const Index window = state.range(0), dim = state.range(1);
  WindowStream stream(square(window, dim, true), {.reach = window - 1}, Precision::f32);
  Matrix x(window, dim);
  std::vector<float> out(static_cast<std::size_t>(dim));
  const auto step = [&](Index i) {
    const float* const row = x.view().row(i);
    stream.step(
        {.queries = {row, 1, dim}, .key = row, .value = row, .x = {}, .out = {out.data(), 1, dim}});
  };
  for (Index i = 0; i < window; ++i) step(i);
  const auto pairs = static_cast<double>(window);
  const Work work{.multiply_adds = 2 * pairs * static_cast<double>(dim), .exponentials = pairs};
  time_work(state, work, work, static_cast<double>(stream.state_bytes()), [&] { step(0); });
}
BENCHMARK(decode)
    ->Name("window_stream/step")
    ->ArgNames({"window", "dim"})
    ->ArgsProduct({{256, 4096}, {64}});

}  // namespace
}  // namespace subquad::bench
