// synthesizer: attention weights without a comparison of tokens. Tay et al. 2020, "Synthesizer:
// rethinking self-attention for transformer models" (arXiv:2005.00743), section 3.1, equations 2 to
// 5.
//
//   dense:   B_i = W2 relu(W1 x_i)    W1 in R^(hidden x columns of x), W2 in R^(n x hidden)
//   random:  B   = R                  R in R^(n x n)
//   out = softmax(B) V
//
// Time O(n^2 (hidden + e)), NOT sub-quadratic, whatever company it keeps; memory O(n) for each
// worker, because rows of B are made, used and dropped in tiles.
//
// Different from the paper: hidden is the head's dim, and the layers have no bias; both are left
// open there. n is the longest sequence of the model, so the tensors belong to one length. Without
// projections x is V, and W1 takes rows of value_dim columns. Causal by mask.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/triangular.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { dense, random };

/// Rows of B that a worker holds.
constexpr Index kRows = 32;
/// Columns of B, and keys, that one product takes.
constexpr Index kColumns = 512;

class Synthesizer final : public Variant {
 public:
  Kind kind = Kind::dense;

  void parameters(Parameters& visit) override {
    visit("kind", kind, {"dense", "random"},
          "scores are made from the token by two layers (dense), or are parameters (random)");
  }
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override {
    return {.q = false, .k = false, .v = true, .x = kind == Kind::dense};
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.self_attention()) return {};
    return "row i of the scores belongs to token i, so queries must be the keys";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent length{"keys", problem.keys};
    if (kind == Kind::random) {
      visit("r", {{"queries", problem.queries}, length}, init::normal(1), Role::learned,
            Sharing::head, "scores");
      return;
    }
    const Extent hidden{"dim", problem.dim}, input{"value_dim", problem.value_dim};
    visit("w1", {hidden, input}, init::normal(1 / std::sqrt(static_cast<double>(input.size))),
          Role::learned, Sharing::head, "first layer");
    visit("w2", {length, hidden}, init::normal(1 / std::sqrt(static_cast<double>(hidden.size))),
          Role::learned, Sharing::head, "second layer: one score for each position");
  }

  Scratch scratch(const Problem& p) const override {
    // Where it is causal, tiles see more and more keys; the last one may have few rows.
    const Index rows = std::min(kRows, p.queries), last = (p.queries - 1) / rows * rows;
    Scratch scratch = tile_scratch(p, last, p.queries - last);
    if (last > 0) {
      const Scratch before = tile_scratch(p, last - rows, rows);
      scratch.worker_bytes = std::max(scratch.worker_bytes, before.worker_bytes);
    }
    return scratch;
  }

  Cost cost(const Problem& p) const override {
    const double n = static_cast<double>(p.queries), pairs = p.pairs();
    const double dim = static_cast<double>(p.dim), value_dim = static_cast<double>(p.value_dim);
    Cost cost{.useful = {.multiply_adds = pairs * value_dim, .exponentials = pairs}};
    if (kind == Kind::dense) {
      cost.useful.multiply_adds += n * dim * value_dim + pairs * dim;
      cost.bytes = sizeof(float) * (3 * n * value_dim + dim * value_dim + n * dim);
    } else {
      cost.bytes = sizeof(float) * (2 * n * value_dim + pairs);
    }
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    if (kind == Kind::dense) check_input(call.x.cols, problem);
    const Index rows = std::min(kRows, problem.queries);
    call.run.parallel((problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      const Index begin = tile * rows, count = std::min(rows, problem.queries - begin);
      const Index keys = problem.causal ? begin + count : problem.keys;
      const View scores = worker.scratch.take_matrix(count, keys);
      const View hidden = worker.scratch.take_matrix(count, problem.dim);
      make_scores(call, begin, hidden, scores, worker);
      for (Index i = 0; i < count; ++i) {
        const Index seen = problem.causal ? begin + i + 1 : keys;
        softmax_in_place({scores.row(i), static_cast<std::size_t>(seen)});
        worker.executed.exponentials += static_cast<double>(seen);
      }
      const View out = call.out.row_range(begin, count);
      if (problem.causal) {
        multiply_lower(scores, call.v.row_range(0, keys), out, begin, worker);
      } else {
        for (Index j = 0; j < keys; j += kColumns) {
          const Index columns = std::min(kColumns, keys - j);
          multiply(scores.col_range(j, columns), call.v.row_range(j, columns), out, worker, 1,
                   j > 0);
        }
      }
    });
  }

  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      const std::vector<double> row = softmax_row(call, i);
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index j = 0; j < call.v.rows; ++j) {
          if (call.problem.sees(i, j)) call.out(i, c) += row[j] * call.v(j, c);
        }
      }
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) {
      const std::vector<double> row = softmax_row(call, i);
      std::copy(row.begin(), row.end(), weights.row(i));
    }
  }

 private:
  Scratch tile_scratch(const Problem& p, Index begin, Index rows) const {
    const Index keys = p.causal ? begin + rows : p.keys, columns = std::min(kColumns, keys);
    std::size_t inside = p.causal ? multiply_lower_scratch_bytes(rows, p.value_dim, keys, begin)
                                  : product_scratch_bytes(rows, p.value_dim, columns);
    if (kind == Kind::dense) {
      inside = std::max({inside, product_scratch_bytes(rows, p.dim, p.value_dim),
                         product_scratch_bytes(rows, columns, p.dim)});
    }
    return Scratch()
        .worker<float>(rows * keys)
        .worker<float>(rows * p.dim)
        .worker<std::byte>(static_cast<Index>(inside));
  }

  static void check_input(Index columns, const Problem& problem) {
    if (columns == problem.value_dim) return;
    throw Error("synthesizer: x has " + std::to_string(columns) + " columns; kind=dense takes " +
                std::to_string(problem.value_dim) + ", as many as the values");
  }

  /// Rows begin, begin + 1, ... of B, columns 0 to scores.cols.
  void make_scores(const Call& call, Index begin, View hidden, View scores, Worker& worker) const {
    if (kind == Kind::random) {
      const ConstView r = call.tensors.matrix("r");
      for (Index i = 0; i < scores.rows; ++i) {
        std::copy_n(r.row(begin + i), scores.cols, scores.row(i));
      }
      return;
    }
    const ConstView w2 = call.tensors.matrix("w2");
    multiply_transposed(call.x.row_range(begin, scores.rows), call.tensors.matrix("w1"), hidden,
                        worker);
    for (Index i = 0; i < hidden.rows * hidden.cols; ++i) {
      hidden.data[i] = std::max(hidden.data[i], 0.0f);
    }
    for (Index j = 0; j < scores.cols; j += kColumns) {
      const Index columns = std::min(kColumns, scores.cols - j);
      multiply_transposed(hidden, w2.row_range(j, columns), scores.col_range(j, columns), worker);
    }
  }

  /// softmax(B_i) over the keys that token i sees, 0 elsewhere.
  std::vector<double> softmax_row(const ReferenceCall& call, Index i) const {
    std::vector<double> row = reference_scores(call, i);
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Index j = 0; j < call.v.rows; ++j) {
      if (call.problem.sees(i, j)) largest = std::max(largest, row[j]);
    }
    for (Index j = 0; j < call.v.rows; ++j) {
      row[j] = call.problem.sees(i, j) ? std::exp(row[j] - largest) : 0;
      sum += row[j];
    }
    for (double& value : row) value /= sum;
    return row;
  }

  std::vector<double> reference_scores(const ReferenceCall& call, Index i) const {
    std::vector<double> row(static_cast<std::size_t>(call.v.rows));
    if (kind == Kind::random) {
      const ConstView r = call.tensors.matrix("r");
      for (Index j = 0; j < r.cols; ++j) row[j] = r(i, j);
      return row;
    }
    check_input(call.x.cols, call.problem);
    const ConstView w1 = call.tensors.matrix("w1"), w2 = call.tensors.matrix("w2");
    for (Index h = 0; h < w1.rows; ++h) {
      double hidden = 0;
      for (Index c = 0; c < w1.cols; ++c) hidden += w1(h, c) * call.x(i, c);
      if (hidden <= 0) continue;
      for (Index j = 0; j < w2.rows; ++j) row[j] += w2(j, h) * hidden;
    }
    return row;
  }
};

SUBQUAD_VARIANT(Synthesizer,
                {.name = "synthesizer",
                 .summary = "scores made from each token alone, or learned outright: no Q K^T",
                 .citation = "arXiv:2005.00743",
                 .time = "n^2 d, not sub-quadratic",
                 .memory = "n"});

}  // namespace
}  // namespace subquad
