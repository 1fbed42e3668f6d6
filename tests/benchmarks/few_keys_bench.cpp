// Few keys or few queries in the place of many, and what stands between them.

#include <vector>

#include "bench.h"
#include "kernels/double_softmax.h"
#include "kernels/pseudo_inverse.h"
#include "kernels/segments.h"

namespace subquad::bench {
namespace {

void projected_keys(benchmark::State& state) {
  time_expression(state, "linformer(rank=256,sharing=kv)", square(state.range(0), state.range(1)));
}
void landmarks(benchmark::State& state) {
  time_expression(state, "nystrom(landmarks=64)", square(state.range(0), state.range(1)));
}
void means(benchmark::State& state) {
  const Index n = state.range(0), dim = state.range(1);
  const Segments segments = Segments::equal(n, 64);
  Matrix rows(n, dim), sums(segments.count, dim);
  SimpleRun run({.worker_bytes = std::size_t{1} << 20});
  const auto bytes = sizeof(float) * static_cast<double>((n + segments.count) * dim);
  time_kernel(state, run, {}, bytes,
              [&] { segment_means(segments, rows.view(), sums.view(), run); });
}

void lengths(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"n", "dim"})->ArgsProduct({{1024, 8192}, {64}});
}
BENCHMARK(projected_keys)->Name("few_keys/projected")->Apply(lengths);
BENCHMARK(landmarks)->Name("few_queries/landmarks")->Apply(lengths);
BENCHMARK(means)->Name("segments/means")->Apply(lengths);

std::vector<double> doubles(Index count) {
  Matrix drawn(count, 1);
  return {drawn.values().begin(), drawn.values().end()};
}

void pseudo_inverse(benchmark::State& state) {
  const PseudoInverse inverse{.size = state.range(0), .steps = state.range(1)};
  constexpr Index kColumns = 64;
  const Index stride = padded_columns(inverse.size);
  const std::vector<double> drawn = doubles(inverse.size * stride), b = doubles(inverse.size * 64);
  std::vector<double> a(drawn.size()), c(b.size());
  std::vector<double> memory(static_cast<std::size_t>(inverse.elements()));
  SimpleRun run({});
  time_kernel(state, run, {.multiply_adds = inverse.multiply_adds(kColumns)}, 0, [&] {
    a = drawn;
    inverse.multiply({a.data(), inverse.size, inverse.size, stride},
                     {b.data(), inverse.size, kColumns}, {c.data(), inverse.size, kColumns}, memory,
                     run.worker());
  });
}
// No steps: by singular values, of which the work is a bound.
BENCHMARK(pseudo_inverse)->Name("pseudo_inverse")->ArgNames({"size", "steps"})->Args({64, 6});

void softmax_in_double(benchmark::State& state) {
  const Index queries = 64, keys = state.range(0), dim = 64;
  const std::vector<double> q = doubles(queries * dim), k = doubles(keys * dim);
  std::vector<double> out(q.size());
  SimpleRun run({.worker_bytes = double_softmax_scratch_bytes(queries, dim, dim)});
  const double pairs = static_cast<double>(queries * keys);
  time_kernel(state, run, {.multiply_adds = 2 * pairs * 64, .exponentials = pairs}, 0, [&] {
    double_softmax({.q = {q.data(), queries, dim},
                    .k = {k.data(), keys, dim},
                    .v = {k.data(), keys, dim},
                    .out = {out.data(), queries, dim},
                    .scale = 0.125},
                   run.worker());
  });
}
BENCHMARK(softmax_in_double)->Name("double_softmax")->ArgName("keys")->Arg(1024);

}  // namespace
}  // namespace subquad::bench
