// Fourier transforms and hashing.

#include <complex>
#include <vector>

#include "bench.h"
#include "kernels/fft.h"
#include "kernels/hashing.h"

namespace subquad::bench {
namespace {

/// Useful: what radix 2 would take; a prime length takes several transforms.
void transform(benchmark::State& state) {
  const Index length = state.range(0);
  const auto size = static_cast<std::size_t>(length);
  SimpleRun run({.shared_bytes = Fft::plan_bytes(length)});
  const Fft fft(length, run.shared());
  Matrix numbers(1, 2 * length);
  std::vector<Fft::Complex> in(size), out(size);
  std::vector<Fft::Complex> work(static_cast<std::size_t>(Fft::work_size(length)));
  for (std::size_t i = 0; i < size; ++i) {
    in[i] = {numbers.values()[2 * i], numbers.values()[2 * i + 1]};
  }
  const Work useful{.multiply_adds = Fft::nominal_multiply_adds(length)};
  time_work(state, useful, {.multiply_adds = fft.multiply_adds()}, 0,
            [&] { fft.transform(in.data(), out.data(), work.data(), run.worker()); });
}
BENCHMARK(transform)->Name("fft/transform")->ArgName("n")->Arg(512)->Arg(4096)->Arg(4099);

void hash_directions(benchmark::State& state) {
  const Index rows = state.range(0), dim = state.range(1), columns = state.range(2);
  Matrix x(rows, dim, 1), rotation(dim, columns, 2);
  std::vector<std::int32_t> buckets(static_cast<std::size_t>(rows));
  const DirectionHash hash{.first = 2 * columns};
  SimpleRun run({.worker_bytes = hash.scratch_bytes(rows, dim)});
  const Work useful{.multiply_adds = static_cast<double>(rows * dim * columns)};
  time_kernel(state, run, useful, 0,
              [&] { hash(x.view(), rotation.view(), buckets.data(), rows, run.worker()); });
}
BENCHMARK(hash_directions)
    ->Name("hashing/direction_hash")
    ->ArgNames({"n", "dim", "columns"})
    ->ArgsProduct({{4096}, {64}, {8, 32, 128}});

void sort(benchmark::State& state) {
  const Index count = state.range(0);
  constexpr Index kBuckets = 128;
  std::vector<std::int32_t> buckets(static_cast<std::size_t>(count)), order(buckets.size());
  std::vector<std::int32_t> ends(kBuckets);
  Generator random(1);
  for (std::int32_t& bucket : buckets) {
    bucket = static_cast<std::int32_t>(random.below(kBuckets));
  }
  // Numbers are read twice and written once.
  time_work(state, {}, {}, 12.0 * static_cast<double>(count),
            [&] { sort_by_bucket(buckets, order, ends); });
}
BENCHMARK(sort)->Name("hashing/sort_by_bucket")->ArgName("n")->Arg(4096)->Arg(65536);

}  // namespace
}  // namespace subquad::bench
