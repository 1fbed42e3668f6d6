// low_rank: the softmax matrix replaced by its best approximation of a given rank. What no method
// that has a matrix of that rank in place of it can beat (oracle; Eckart and Young 1936, "The
// approximation of one matrix by another of lower rank", Psychometrika 1(3), pages 211-218).
//
//   A = softmax(scale Q K^T) = sum over i of s_i u_i w_i^T,  s_1 >= s_2 >= ...
//   out = A_r V,  A_r = sum over i <= r of s_i u_i w_i^T
//
// Nearest in Frobenius norm of the matrix, which is not that of the output: V has a say in that.
// Singular values that equal the r-th to 1e-6 (relatively) are kept as well (kernels/best_rank.h),
// so that A_r is well defined where they coincide; the rank is then larger than r. Rows of A_r need
// not sum to 1, and it has negative elements.
//
// In double precision: A_r hangs on differences of singular values. Time O(n^2 (d + r)) with block
// Krylov iteration, which captures all but 1e-6 of the squared norm that can be captured, or O(n^3)
// by all eigenvectors of a Gram matrix where n <= 512 or r is large; memory O(n^2), so there is a
// longest length. Not causal.

#include <algorithm>
#include <string>

#include "kernels/best_rank.h"
#include "kernels/naive_best_rank-inl.h"
#include "kernels/softmax_matrix.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class LowRank final : public Variant {
 public:
  Index rank = 64;

  void parameters(Parameters& visit) override {
    visit("rank", rank, at_least(1), "rank of the matrix that stands for the softmax matrix");
  }

  Target target(const Problem&) const override { return Target::oracle; }
  std::string exact_when(const Problem& problem) const override {
    return "rank=" + std::to_string(std::min(problem.queries, problem.keys));
  }
  std::string refuses(const Problem& problem) const override {
    return refuses_softmax_matrix(problem);
  }
  bool ignores_key_order(const Problem&) const override { return true; }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch = softmax_matrix_scratch(problem);
    const Scratch inside = best_rank(problem).scratch(problem.value_dim);
    scratch.shared_bytes += inside.shared_bytes;
    scratch.worker_bytes = std::max(scratch.worker_bytes, inside.worker_bytes);
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double pairs = problem.pairs();
    Cost cost = softmax_cost(problem, pairs);
    cost.useful.multiply_adds = pairs * static_cast<double>(problem.dim) +
                                best_rank(problem).multiply_adds(problem.value_dim);
    cost.exact = false;
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const SoftmaxMatrix matrix = softmax_matrix(call);
    best_rank(problem).multiply(matrix.weights, matrix.values, matrix.out, call.run);
    round_to(call.out, matrix.out);
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    as_eigen(weights) = naive_best_rank(naive_softmax_matrix(call), rank);
  }

  void reference(const ReferenceCall& call) const override {
    const RowMajor<double> weights = naive_best_rank(naive_softmax_matrix(call), rank);
    as_eigen(call.out) = weights * as_eigen(call.v);
  }

 private:
  BestRank best_rank(const Problem& problem) const { return {problem.queries, problem.keys, rank}; }
};

SUBQUAD_VARIANT(LowRank,
                {.name = "low_rank",
                 .summary = "the softmax matrix cut off at a rank: what none of it can beat",
                 .citation = "Eckart and Young, The approximation of one matrix by another "
                             "of lower rank, 1936",
                 .time = "n^2 (d + rank)",
                 .memory = "n^2"});

}  // namespace
}  // namespace subquad
