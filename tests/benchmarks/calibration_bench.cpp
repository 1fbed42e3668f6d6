// What fitting stands on.

#include "kernels/calibration.h"

#include <vector>

#include "bench.h"

namespace subquad::bench {
namespace {

void mean_attention(benchmark::State& state) {
  const Problem problem = square(state.range(0), 64);
  Matrix q(problem.queries, problem.dim), k(problem.keys, problem.dim);
  const std::vector<Window> windows(4,
                                    {.q = q.view(), .k = k.view(), .v = {}, .x = {}, .target = {}});
  const auto work = Work{.multiply_adds = 4 * problem.pairs() * static_cast<double>(problem.dim)};
  time_work(state, work, work, 0, [&] { subquad::mean_attention(problem, windows); });
}
BENCHMARK(mean_attention)->Name("calibration/mean_attention")->ArgName("n")->Arg(128);

/// Least squares over so many tokens from 512 columns, more than there are tokens or fewer.
Moments random_moments(Index n) {
  Matrix x(n, 512), target(n, 512, 2);
  const RowMajor<double> inputs = as_eigen(x.view()).cast<double>();
  return {.gram = inputs * inputs.transpose(),
          .cross = as_eigen(target.view()).cast<double>() * inputs.transpose()};
}

void ridge(benchmark::State& state) {
  const Index n = state.range(0);
  Problem problem = square(n, 64);
  problem.causal = state.range(1) != 0;
  const Moments sums = random_moments(n);
  const RowMajor<double> prior = RowMajor<double>::Zero(n, n);
  // A product with the Gram matrix, its factor, and two substitutions.
  const auto cube = static_cast<double>(n * n * n);
  const Work work{.multiply_adds = cube * (1 + 1.0 / 6 + 1)};
  time_work(state, work, work, 0, [&] { subquad::ridge(problem, sums, prior, 1); });
}
BENCHMARK(ridge)
    ->Name("calibration/ridge")
    ->ArgNames({"n", "causal"})
    ->Args({128, 0})
    ->Args({128, 1});

void nearest_of_rank(benchmark::State& state) {
  constexpr Index kRank = 64;
  const Index n = state.range(0);
  const Moments sums = random_moments(n);
  // What the decomposition takes depends on the data: compulsory bytes are all that can be stated.
  const auto elements = static_cast<double>(2 * n * n + 2 * n * kRank);
  time_work(state, {}, {}, sizeof(double) * elements,
            [&] { subquad::nearest_of_rank(sums.cross, sums, 1, kRank); });
}
BENCHMARK(nearest_of_rank)->Name("calibration/nearest_of_rank")->ArgName("n")->Arg(128);

void sandwich_ridge(benchmark::State& state) {
  const Index n = state.range(0), rank = 32, windows = 4;
  std::vector<Sandwich> sandwiches;
  for (Index w = 0; w < windows; ++w) {
    const auto seed = static_cast<std::uint64_t>(3 * w);
    Matrix left(n, rank, seed + 1), right(n, 64, seed + 2), target(n, 64, seed + 3);
    sandwiches.push_back({.left = as_eigen(left.view()).cast<double>(),
                          .right = as_eigen(right.view()).cast<double>(),
                          .target = as_eigen(target.view()).cast<double>()});
  }
  const RowMajor<double> prior = RowMajor<double>::Zero(rank, n);
  // As above: the number of steps depends on the data.
  const auto elements = static_cast<double>(windows * n * (rank + 2 * 64) + 2 * rank * n);
  time_work(state, {}, {}, sizeof(double) * elements,
            [&] { subquad::sandwich_ridge(sandwiches, prior, 1); });
}
BENCHMARK(sandwich_ridge)->Name("calibration/sandwich_ridge")->ArgName("n")->Arg(128);

}  // namespace
}  // namespace subquad::bench
