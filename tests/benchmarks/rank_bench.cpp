// Matrices of the best rank, and what they are made from.

#include <vector>

#include "bench.h"
#include "kernels/symmetric_eigen.h"

namespace subquad::bench {
namespace {

void best_rank(benchmark::State& state) {
  time_expression(state, "low_rank(rank=16)", square(state.range(0), 64));
}
void softmax_matrix(benchmark::State& state) {
  // At full rank nothing is decomposed.
  time_expression(state, "low_rank(rank=4096)", square(state.range(0), 64));
}
BENCHMARK(best_rank)->Name("best_rank/krylov")->ArgName("n")->Arg(1024);
BENCHMARK(softmax_matrix)->Name("softmax_matrix/whole")->ArgName("n")->Arg(512);

void symmetric_eigen(benchmark::State& state) {
  const Index n = state.range(0);
  Matrix drawn(n, n);
  const std::vector<double> symmetric(drawn.values().begin(), drawn.values().end());
  std::vector<double> matrix(symmetric.size()), values(static_cast<std::size_t>(n));
  SimpleRun run({.worker_bytes = symmetric_eigen_scratch_bytes(n)});
  // Householder's reduction and the vectors of QL steps: about 5 n^3, none of which it reports.
  const auto work = Work{.multiply_adds = 5.0 * static_cast<double>(n * n * n)};
  time_work(state, work, work, 0, [&] {
    matrix = symmetric;  // only the lower triangle is read
    run.worker().scratch.rewind(0);
    subquad::symmetric_eigen({matrix.data(), n, n}, values, run.worker().scratch);
  });
}
BENCHMARK(symmetric_eigen)->Name("symmetric_eigen")->ArgName("n")->Arg(128);

}  // namespace
}  // namespace subquad::bench
