// Choosing the largest of many scores.

#include "bench.h"
#include "kernels/top_k.h"

namespace subquad::bench {
namespace {

void choose(benchmark::State& state) {
  const Index count = state.range(0), kept = state.range(1);
  Matrix scores(1, count);
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(kept));
  time_work(state, {}, {}, sizeof(float) * static_cast<double>(count), [&] {
    choose_largest({scores.view().data, order.size()}, order, chosen);
    benchmark::DoNotOptimize(chosen.data());
  });
}

BENCHMARK(choose)
    ->Name("top_k/choose_largest")
    ->ArgNames({"n", "kept"})
    ->ArgsProduct({{4096, 65536}, {32, 256}});

}  // namespace
}  // namespace subquad::bench
