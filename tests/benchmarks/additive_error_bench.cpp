// One step of fitting additive attention.

#include "kernels/additive_error.h"

#include <vector>

#include "bench.h"

namespace subquad::bench {
namespace {

void gradient(benchmark::State& state) {
  const Index n = state.range(0), hidden = 32, dim = 32;
  const Problem problem = square(n, dim);
  Matrix q(n, dim, 1), k(n, dim, 2), v(n, dim, 3), target(n, dim, 4);
  const std::vector<Window> windows(
      1, {.q = q.view(), .k = k.view(), .v = v.view(), .x = {}, .target = target.view()});
  const AdditiveError error(problem, hidden, windows);
  std::vector<double> at(static_cast<std::size_t>(hidden * (2 * dim + 1)), 0.1), slope(at.size());
  const double exponentials = problem.pairs() * static_cast<double>(hidden + 1);
  time_work(state, {.exponentials = exponentials}, {}, 0,
            [&] { benchmark::DoNotOptimize(error(at, slope)); });
}
BENCHMARK(gradient)->Name("additive_error/gradient")->ArgName("n")->Arg(64);

}  // namespace
}  // namespace subquad::bench
