// Fitting scores to the attention of windows.

#include "kernels/synthetic_fit.h"

#include <vector>

#include "bench.h"

namespace subquad::bench {
namespace {

void ridge(benchmark::State& state) {
  const Problem problem = square(state.range(0), 16);
  Matrix q(problem.queries, problem.dim), k(problem.keys, problem.dim, 2);
  const std::vector<Window> windows(2,
                                    {.q = q.view(), .k = k.view(), .v = {}, .x = {}, .target = {}});
  const std::vector<RowMajor<double>> features(2, as_eigen(k.view()).cast<double>());
  const ScoreRidge ridge(problem, windows, features);
  const double dim = static_cast<double>(problem.dim);
  const Work work{.multiply_adds =
                      2 * dim * (problem.pairs() + dim * static_cast<double>(problem.keys))};
  time_work(state, work, work, 0, [&] { ridge.fit(1e-2); });
}
BENCHMARK(ridge)->Name("synthetic_fit/ridge")->ArgName("n")->Arg(128);

}  // namespace
}  // namespace subquad::bench
