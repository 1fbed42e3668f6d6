// Products of small and middle-sized matrices, dense and lower triangular.

#include "bench.h"
#include "kernels/product.h"
#include "kernels/triangular.h"

namespace subquad::bench {
namespace {

struct Extents {
  explicit Extents(const benchmark::State& state)
      : m(state.range(0)), n(state.range(1)), k(state.range(2)) {}

  Work work() const { return {.multiply_adds = static_cast<double>(m * n * k)}; }
  double bytes() const { return sizeof(float) * static_cast<double>(m * k + k * n + m * n); }

  Index m, n, k;
};

SimpleRun run_for(std::size_t worker_bytes) { return SimpleRun({.worker_bytes = worker_bytes}); }

void multiply_plain(benchmark::State& state) {
  const Extents e(state);
  Matrix a(e.m, e.k, 1), b(e.k, e.n, 2), c(e.m, e.n);
  SimpleRun run = run_for(product_scratch_bytes(e.m, e.n, e.k));
  time_kernel(state, run, e.work(), e.bytes(),
              [&] { multiply(a.view(), b.view(), c.view(), run.worker()); });
}

void multiply_by_rows(benchmark::State& state) {
  const Extents e(state);
  Matrix a(e.m, e.k, 1), b(e.n, e.k, 2), c(e.m, e.n);
  SimpleRun run = run_for(product_scratch_bytes(e.m, e.n, e.k));
  time_kernel(state, run, e.work(), e.bytes(),
              [&] { multiply_transposed(a.view(), b.view(), c.view(), run.worker()); });
}

void multiply_columns(benchmark::State& state) {
  const Extents e(state);
  Matrix a(e.k, e.m, 1), b(e.k, e.n, 2), c(e.m, e.n);
  SimpleRun run = run_for(product_scratch_bytes(e.m, e.n, e.k));
  time_kernel(state, run, e.work(), e.bytes(),
              [&] { multiply_left_transposed(a.view(), b.view(), c.view(), run.worker()); });
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"m", "n", "k"});
  bench->Args({64, 64, 64})->Args({128, 512, 64})->Args({256, 64, 512})->Args({64, 256, 2048});
  bench->Args({2048, 256, 64})->Args({31, 17, 15});
}
BENCHMARK(multiply_plain)->Name("product/multiply")->Apply(shapes);
BENCHMARK(multiply_by_rows)->Name("product/multiply_transposed")->Apply(shapes);
BENCHMARK(multiply_columns)->Name("product/multiply_left_transposed")->Apply(shapes);

void lower(benchmark::State& state) {
  const Index m = state.range(0), n = state.range(1);
  Matrix a(m, m, 1), b(m, n, 2), c(m, n);
  SimpleRun run = run_for(multiply_lower_scratch_bytes(m, n, m, 1));
  const Work useful{.multiply_adds = 0.5 * static_cast<double>(m * (m + 1) * n)};
  time_kernel(state, run, useful, 0,
              [&] { multiply_lower(a.view(), b.view(), c.view(), 1, run.worker()); });
}
BENCHMARK(lower)
    ->Name("triangular/multiply_lower")
    ->ArgNames({"m", "n"})
    ->ArgsProduct({{64, 128, 512}, {64}});

}  // namespace
}  // namespace subquad::bench
