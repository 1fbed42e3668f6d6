#include "bench.h"

#include "expressions/expression.h"
#include "layers/layer.h"

namespace subquad::bench {

void time_forward(benchmark::State& state, const Variant& variant, const Problem& problem) {
  Matrix q(problem.queries, problem.dim, 1), k(problem.keys, problem.dim, 2);
  Matrix v(problem.keys, problem.value_dim, 3), out(problem.queries, problem.value_dim);
  const DrawnMapTensors tensors(variant, problem, 1);
  SimpleRun run(variant.scratch(problem));
  const Call call{.problem = problem,
                  .q = q.view(),
                  .k = k.view(),
                  .v = v.view(),
                  .x = v.view(),
                  .out = out.view(),
                  .row_log_sum_exp = nullptr,
                  .tensors = tensors,
                  .prepared = {},
                  .run = run};
  const Cost cost = variant.cost(problem);
  time_kernel(state, run, cost.useful, cost.bytes, [&] { variant.forward(call); });
}

Problem square(Index n, Index dim, bool causal) {
  return {.queries = n, .keys = n, .dim = dim, .value_dim = dim, .causal = causal};
}

void time_expression(benchmark::State& state, const char* text, const Problem& problem) {
  const Layer layer(parse_expression(text), problem, 1);
  time_forward(state, layer.variant(0), problem);
}

}  // namespace subquad::bench
