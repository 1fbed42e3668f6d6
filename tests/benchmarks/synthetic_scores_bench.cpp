// Scores that are made rather than compared, through the variant that is made of them.

#include "bench.h"

namespace subquad::bench {
namespace {

void scores(benchmark::State& state, const char* expression) {
  time_expression(state, expression, square(state.range(0), 64));
}

void lengths(benchmark::internal::Benchmark* bench) { bench->ArgName("n")->Arg(1024)->Arg(4096); }

BENCHMARK_CAPTURE(scores, dense, "synthesizer")->Name("synthetic_scores/dense")->Apply(lengths);
BENCHMARK_CAPTURE(scores, random, "synthesizer(kind=random)")
    ->Name("synthetic_scores/random")
    ->Apply(lengths);
BENCHMARK_CAPTURE(scores, factorised_dense, "synthesizer(kind=factorised_dense)")
    ->Name("synthetic_scores/factorised_dense")
    ->Apply(lengths);
BENCHMARK_CAPTURE(scores, factorised_random, "synthesizer(kind=factorised_random)")
    ->Name("synthetic_scores/factorised_random")
    ->Apply(lengths);
BENCHMARK_CAPTURE(scores, mixture, "synthesizer(kind=random+dot)")
    ->Name("synthetic_scores/random+dot")
    ->Apply(lengths);

}  // namespace
}  // namespace subquad::bench
