// naive: softmax attention in the textbook form (Vaswani et al. 2017, arXiv:1706.03762, eq. 1),
// with the whole n x n matrix in memory.
//
//   S = scale Q K^T;   S_ij = -infinity where masked;   P = softmax of each row;   out = P V
//
// Three passes over the matrix. Time O(n^2 d), memory O(n^2). The same result as `dense`; what it
// costs beside it is what tiling saves. As in a textbook, masked scores are computed all the same;
// the last product, though, leaves out keys that a row does not see, so that what they hold cannot
// reach it (0 * NaN is NaN).

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Rows that a worker takes at a time.
constexpr Index kTileRows = 64;

class Naive final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::exact; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }
  bool gives_log_sum_exp() const override { return true; }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    scratch.shared<float>(problem.queries * problem.keys);
    // Keys that the rows of the last tile share are the most that any tile's do; what single rows
    // see beyond is less than a tile.
    const Index rows = std::min(kTileRows, problem.queries);
    const Index last = (problem.queries - 1) / kTileRows * kTileRows;
    const Index beyond = seen_keys(problem, rows - 1) - seen_keys(problem, 0);
    const Index depth = std::max(seen_keys(problem, last), beyond);
    scratch.worker_bytes = std::max(product_scratch_bytes(kTileRows, problem.keys, problem.dim),
                                    product_scratch_bytes(kTileRows, problem.value_dim, depth));
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    return softmax_cost(problem, problem.pairs());
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const View scores = call.run.shared().take_matrix(problem.queries, problem.keys);
    const Index tiles = (problem.queries + kTileRows - 1) / kTileRows;
    const auto begin_of = [](Index tile) { return tile * kTileRows; };
    const auto count_of = [&](Index tile) {
      return std::min(kTileRows, problem.queries - tile * kTileRows);
    };
    call.run.parallel(tiles, [&](Index tile, Worker& worker) {
      multiply_transposed(call.q.row_range(begin_of(tile), count_of(tile)), call.k,
                          scores.row_range(begin_of(tile), count_of(tile)), worker,
                          static_cast<float>(problem.score_scale()));
    });
    call.run.parallel(tiles, [&](Index tile, Worker& worker) {
      for (Index i = begin_of(tile); i < begin_of(tile) + count_of(tile); ++i) {
        normalise_row(call, i, scores.row(i), worker);
      }
    });
    call.run.parallel(tiles, [&](Index tile, Worker& worker) {
      multiply_values(call, scores, begin_of(tile), count_of(tile), worker);
    });
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) row_weights(call, i, weights.row(i));
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      const double log_sum_exp = row_weights(call, i, weights.data());
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index j = 0; j < call.problem.keys && call.problem.sees(i, j); ++j) {
          call.out(i, c) += weights[j] * call.v(j, c);
        }
      }
    }
  }

 private:
  /// Keys that query row `i` sees are the first ones.
  static Index seen_keys(const Problem& problem, Index i) {
    return problem.causal ? std::clamp<Index>(problem.position(i) + 1, 0, problem.keys)
                          : problem.keys;
  }

  static void normalise_row(const Call& call, Index i, float* row, Worker& worker) {
    const Index keys = call.problem.keys;
    std::fill(row + seen_keys(call.problem, i), row + keys,
              -std::numeric_limits<float>::infinity());
    const float log_sum_exp = softmax_in_place({row, static_cast<std::size_t>(keys)});
    if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
    worker.executed.exponentials += static_cast<double>(keys);
  }

  /// Rows of one tile: the keys that all of them see at once, the others row by row.
  static void multiply_values(const Call& call, ConstView weights, Index begin, Index count,
                              Worker& worker) {
    const Index common = seen_keys(call.problem, begin);
    multiply(weights.row_range(begin, count).col_range(0, common), call.v.row_range(0, common),
             call.out.row_range(begin, count), worker);
    for (Index i = begin; i < begin + count; ++i) {
      const Index others = seen_keys(call.problem, i) - common;
      if (others == 0) continue;
      multiply(weights.row_range(i, 1).col_range(common, others), call.v.row_range(common, others),
               call.out.row_range(i, 1), worker, 1, true);
    }
  }

  static double row_weights(const ReferenceCall& call, Index i, double* weights) {
    const Problem& problem = call.problem;
    double largest = -std::numeric_limits<double>::infinity();
    for (Index j = 0; j < problem.keys; ++j) {
      weights[j] = 0;
      for (Index c = 0; c < problem.dim; ++c) weights[j] += call.q(i, c) * call.k(j, c);
      weights[j] *= problem.score_scale();
      if (problem.sees(i, j)) largest = std::max(largest, weights[j]);
    }
    double sum = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      weights[j] = problem.sees(i, j) ? std::exp(weights[j] - largest) : 0;
      sum += weights[j];
    }
    if (sum == 0) return largest;
    for (Index j = 0; j < problem.keys; ++j) weights[j] /= sum;
    return largest + std::log(sum);
  }
};

SUBQUAD_VARIANT(Naive, {.name = "naive",
                        .summary = "softmax attention with the n x n matrix in memory",
                        .citation = "arXiv:1706.03762",
                        .time = "n^2 d",
                        .memory = "n^2"});

}  // namespace
}  // namespace subquad
