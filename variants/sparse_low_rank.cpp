// sparse_low_rank: the largest softmax weights of every query as they are, and the best
// approximation of a given rank of all the others (oracle of the family sparse + low rank: Chen et
// al. 2021, "Scatterbrain: unifying sparse and low-rank attention", arXiv:2110.15343, section 3).
//
//   A    = softmax(scale Q K^T),  S_ij = A_ij for the `keys` keys j of largest A_ij, else 0
//   out  = (S + (A - S)_r) V,     (.)_r the best approximation of rank r (kernels/best_rank.h)
//
// No S + L with this S and L of rank r is nearer to A in Frobenius norm. That is a bound on methods
// that add a matrix of low rank to weights of the full softmax. One that corrects its support by
// what L has there already, as Scatterbrain does, errs off the support alone and may go below; the
// best such L has no closed form (low-rank approximation with weights is NP-hard: Gillis and
// Glineur 2011).
//
// Of equal weights the earlier key is the larger; which they are is decided on weights rounded to
// float. Singular values that equal the r-th to 1e-6 are kept as well. Time, memory, precision and
// longest length as of low_rank; not causal.

#include <algorithm>
#include <string>

#include "kernels/best_rank.h"
#include "kernels/naive_best_rank-inl.h"
#include "kernels/softmax_matrix.h"
#include "kernels/top_k.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class SparseLowRank final : public Variant {
 public:
  Index keys = 32;
  Index rank = 32;

  void parameters(Parameters& visit) override {
    visit("keys", keys, at_least(1), "largest weights of a query that are kept as they are");
    visit("rank", rank, at_least(1), "rank of the matrix that stands for all other weights");
  }

  Target target(const Problem&) const override { return Target::oracle; }
  std::string exact_when(const Problem& problem) const override {
    return "rank=" + std::to_string(std::min(problem.queries, problem.keys));
  }
  std::string refuses(const Problem& problem) const override {
    return refuses_softmax_matrix(problem);
  }
  bool ignores_key_order(const Problem&) const override { return true; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit.choice("keys", {{"queries", problem.queries}, {"keys", kept(problem)}},
                 "keys whose weight is kept, ascending");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch = softmax_matrix_scratch(problem);
    const Scratch inside = best_rank(problem).scratch(problem.value_dim);
    scratch.shared_bytes += inside.shared_bytes;
    const Scratch choosing =
        Scratch().worker<float>(problem.keys).worker<std::int32_t>(problem.keys);
    scratch.worker_bytes =
        std::max({scratch.worker_bytes, inside.worker_bytes, choosing.worker_bytes});
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double pairs = problem.pairs();
    const auto chosen = static_cast<double>(problem.queries * kept(problem));
    Cost cost = softmax_cost(problem, pairs);
    cost.useful.multiply_adds = pairs * static_cast<double>(problem.dim) +
                                chosen * static_cast<double>(problem.value_dim) +
                                best_rank(problem).multiply_adds(problem.value_dim);
    cost.bytes += sizeof(std::int32_t) * chosen;
    cost.exact = false;
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const SoftmaxMatrix matrix = softmax_matrix(call);
    call.run.parallel((problem.queries + kChoiceRows - 1) / kChoiceRows,
                      [&](Index tile, Worker& worker) {
                        const Index end = std::min((tile + 1) * kChoiceRows, problem.queries);
                        for (Index i = tile * kChoiceRows; i < end; ++i) {
                          take_largest(call, i, matrix, worker);
                        }
                      });
    best_rank(problem).multiply(matrix.weights, matrix.values, matrix.out, call.run, true);
    round_to(call.out, matrix.out);
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    as_eigen(weights) = approximation(call);
  }

  void reference(const ReferenceCall& call) const override {
    const RowMajor<double> weights = approximation(call);
    as_eigen(call.out) = weights * as_eigen(call.v);
  }

 private:
  /// Query rows of a tile in which keys are chosen.
  static constexpr Index kChoiceRows = 64;

  Index kept(const Problem& problem) const { return std::min(keys, problem.keys); }
  BestRank best_rank(const Problem& problem) const { return {problem.queries, problem.keys, rank}; }

  /// Chooses the keys of one query, begins its output with their part, and takes their weights out
  /// of the matrix.
  void take_largest(const Call& call, Index query, const SoftmaxMatrix& matrix,
                    Worker& worker) const {
    double* const out = matrix.out.row(query);
    const std::size_t mark = worker.scratch.used();
    const std::span<float> scores = worker.scratch.take<float>(call.problem.keys);
    const std::span<std::int32_t> order = worker.scratch.take<std::int32_t>(call.problem.keys);
    double* const row = matrix.weights.row(query);
    std::transform(row, row + scores.size(), scores.begin(),
                   [](double weight) { return static_cast<float>(weight); });
    const auto count = static_cast<std::size_t>(kept(call.problem));
    const std::span<std::int32_t> chosen =
        call.tensors.choices("keys").subspan(static_cast<std::size_t>(query) * count, count);
    choose_largest(scores, order, chosen);
    std::fill_n(out, matrix.values.cols, 0.0);
    for (const std::int32_t key : chosen) {
      for (Index c = 0; c < matrix.values.cols; ++c) out[c] += row[key] * matrix.values(key, c);
      row[key] = 0;
    }
    worker.executed.multiply_adds +=
        static_cast<double>(count) * static_cast<double>(matrix.values.cols);
    worker.scratch.rewind(mark);
  }

  RowMajor<double> approximation(const ReferenceCall& call) const {
    const RowMajor<double> matrix = naive_softmax_matrix(call);
    RowMajor<double> sparse = RowMajor<double>::Zero(matrix.rows(), matrix.cols());
    const std::span<const std::int32_t> chosen = call.tensors.integers("keys");
    const Index count = kept(call.problem);
    for (Index i = 0; i < matrix.rows(); ++i) {
      for (Index c = 0; c < count; ++c) {
        sparse(i, chosen[i * count + c]) = matrix(i, chosen[i * count + c]);
      }
    }
    return sparse + naive_best_rank(matrix - sparse, rank);
  }
};

SUBQUAD_VARIANT(SparseLowRank,
                {.name = "sparse_low_rank",
                 .summary = "largest weights, and a rank for the others: an oracle of both",
                 .citation = "arXiv:2110.15343",
                 .time = "n^2 (d + rank)",
                 .memory = "n^2"});

}  // namespace
}  // namespace subquad
