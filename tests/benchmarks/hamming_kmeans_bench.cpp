// Clustering of words of sign bits.

#include "bench.h"
#include "kernels/hamming_kmeans.h"

namespace subquad::bench {
namespace {

void lloyd(benchmark::State& state) {
  const HammingKMeans kmeans{.clusters = state.range(1), .iterations = 10};
  std::vector<std::uint64_t> words(static_cast<std::size_t>(state.range(0)));
  Generator random(1);
  for (std::uint64_t& word : words) word = std::uint64_t{random.bits()} << 32 | random.bits();
  std::vector<std::int32_t> labels(words.size());
  Scratch scratch;
  kmeans.declare_scratch(scratch);
  SimpleRun run(scratch);
  time_kernel(state, run, {}, 8 * 11 * static_cast<double>(words.size()),
              [&] { kmeans.run(words, labels, run); });
}

BENCHMARK(lloyd)
    ->Name("hamming_kmeans/lloyd")
    ->ArgNames({"n", "clusters"})
    ->ArgsProduct({{4096, 65536}, {64}});

}  // namespace
}  // namespace subquad::bench
