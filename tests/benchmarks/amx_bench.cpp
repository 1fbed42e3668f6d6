#include "kernels/amx.h"

#include <cstdio>

#include "bench.h"

namespace subquad::bench {
namespace {

void dense_in_bf16(benchmark::State& state) {
  time_expression(state, "dense(precision=bf16)", square(state.range(0), state.range(1)));
}

/// Where there are no tiles nothing can be measured, and that is said.
const bool registered = [] {
  if (!amx_refusal().empty()) {
    std::fprintf(stderr, "amx is left out: %s\n", amx_refusal().c_str());
    return false;
  }
  benchmark::RegisterBenchmark("amx/dense", dense_in_bf16)
      ->ArgNames({"n", "dim"})
      ->ArgsProduct({{512, 2048, 8192}, {64}});
  return true;
}();

}  // namespace
}  // namespace subquad::bench
