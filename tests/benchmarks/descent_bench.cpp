// A step of fitting, without the function that it lowers.

#include "kernels/descent.h"

#include <algorithm>
#include <vector>

#include "bench.h"

namespace subquad::bench {
namespace {

/// sum of c_i x_i^2 / 2, c from 1 to 1000: cheap, and lowered for many steps.
double quadratic(std::span<const double> x, std::span<double> gradient) {
  double value = 0;
  const double last = static_cast<double>(x.size() - 1);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double c = 1 + 999 * static_cast<double>(i) / last;
    gradient[i] = c * x[i];
    value += gradient[i] * x[i] / 2;
  }
  return value;
}

void steps(benchmark::State& state) {
  const std::size_t parameters = static_cast<std::size_t>(state.range(0));
  const DescentOptions options{.steps = 20, .memory = 10, .halvings = 30};
  // Both passes over what is remembered read two vectors of each pair.
  const double bytes =
      sizeof(double) * 4.0 * options.memory * options.steps * static_cast<double>(parameters);
  std::vector<double> x(parameters);
  time_work(state, {}, {}, bytes, [&] {
    std::fill(x.begin(), x.end(), 1);
    benchmark::DoNotOptimize(descend(quadratic, x, options).after);
  });
}
BENCHMARK(steps)->Name("descent/steps")->ArgName("parameters")->Arg(4096);

}  // namespace
}  // namespace subquad::bench
