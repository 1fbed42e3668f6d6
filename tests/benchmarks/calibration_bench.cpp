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

}  // namespace
}  // namespace subquad::bench
