// Balancing of square matrices.

#include "bench.h"
#include "kernels/sinkhorn_balance.h"

namespace subquad::bench {
namespace {

void balance(benchmark::State& state, bool causal) {
  const Index size = state.range(0);
  const SinkhornBalance balance{.iterations = 8, .causal = causal};
  Matrix drawn(size, size), logits(size, size);
  SimpleRun run(balance.scratch(size, size));
  const double elements = static_cast<double>(size * size) * (causal ? 0.5 : 1);
  time_kernel(state, run, {.exponentials = 17 * elements}, 0, [&] {
    logits.values() = drawn.values();
    balance.run(logits.view(), run);
  });
}
void full(benchmark::State& state) { balance(state, false); }
void causal(benchmark::State& state) { balance(state, true); }

BENCHMARK(full)->Name("sinkhorn_balance/full")->ArgName("blocks")->Arg(64)->Arg(512);
BENCHMARK(causal)->Name("sinkhorn_balance/causal")->ArgName("blocks")->Arg(64)->Arg(512);

}  // namespace
}  // namespace subquad::bench
