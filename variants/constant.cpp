// constant: one matrix for all inputs. The oracle of methods that look at positions alone: whatever
// mixes tokens by a matrix that was fixed before the input was seen (MLP-Mixer without its
// nonlinearity, random Synthesizer, any convolution or pooling along the length) is one of these.
//
//   out = A V,   A in R^(n x n), lower triangular where causal
//
// Drawn, A is the mean of the values that a query sees. Fitted, it is the solution of least squares
//
//   min sum over windows ||A V - softmax(scale Q K^T) V||_F^2
//
// of least norm. On the very windows that it was fitted to, no method that looks at positions
// alone has a smaller sum of squared errors; on others it is just one of these methods, and not a
// good one: it follows the noise of few windows, and the mean attention matrix does better
// (kernels/calibration.h; variants/mixer.cpp starts from that).
//
// Time O(n^2 d), memory O(d) for each worker; n^2 parameters. Where causal, row i has least squares
// of its own over i + 1 columns; least norm is there the limit of a ridge penalty, taken at 1e-10
// of the mean square of a token.

#include <algorithm>
#include <functional>

#include "kernels/calibration.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/triangular.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Rows of A that a tile takes.
constexpr Index kRows = 64;

/// Keys that a row sees.
Index seen_by(const Problem& problem, Index row) {
  if (!problem.causal) return problem.keys;
  return std::clamp<Index>(problem.position(row) + 1, 0, problem.keys);
}

class Constant final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::oracle; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const std::function<void(Generator&, const Shape&, std::span<float>)> mean =
        [problem](Generator&, const Shape&, std::span<float> a) {
          for (Index i = 0; i < problem.queries; ++i) {
            const Index seen = seen_by(problem, i);
            const auto row = a.subspan(static_cast<std::size_t>(i * problem.keys),
                                       static_cast<std::size_t>(problem.keys));
            std::fill(row.begin(), row.end(), 0.0f);
            std::fill_n(row.begin(), seen, 1 / static_cast<float>(seen));
          }
        };
    visit("a", {{"queries", problem.queries}, {"keys", problem.keys}},
          init::custom("1 / keys seen", mean), Role::learned, Sharing::head,
          "what each position makes of the values at the others",
          fit::closed_form("least squares of the dense output on V, the solution of least norm"));
  }

  Scratch scratch(const Problem& problem) const override {
    std::size_t bytes = 0;
    for (Index begin = 0; begin < problem.queries; begin += kRows) {
      const Index rows = std::min(kRows, problem.queries - begin);
      bytes = std::max(bytes, tile_bytes(problem, begin, rows));
    }
    return Scratch().worker<std::byte>(static_cast<Index>(bytes));
  }

  Cost cost(const Problem& problem) const override {
    const double pairs = problem.pairs();
    const Index values = (problem.keys + problem.queries) * problem.value_dim;
    return {.useful = {.multiply_adds = pairs * static_cast<double>(problem.value_dim)},
            .bytes = sizeof(float) * (pairs + static_cast<double>(values))};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const ConstView a = call.tensors.matrix("a");
    call.run.parallel((problem.queries + kRows - 1) / kRows, [&](Index tile, Worker& worker) {
      const Index begin = tile * kRows, rows = std::min(kRows, problem.queries - begin);
      const ConstView weights = a.row_range(begin, rows);
      const View out = call.out.row_range(begin, rows);
      if (problem.causal) {
        const Index keys = seen_by(problem, begin + rows - 1);
        multiply_lower(weights.col_range(0, keys), call.v.row_range(0, keys), out,
                       problem.position(begin), worker);
      } else {
        multiply(weights, call.v, out, worker);
      }
    });
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weights_row(call, i, row); });
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weights_row(call, i, weights.row(i));
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    as_eigen(tensors.writable("a")) = fitted(problem, windows).cast<float>();
  }

 private:
  static RowMajor<double> fitted(const Problem& problem, std::span<const Window> windows) {
    constexpr double kNoPenalty = 1e-10;
    if (!problem.causal) return minimum_norm(problem, windows, &Window::v);
    const RowMajor<double> zero = RowMajor<double>::Zero(problem.queries, problem.keys);
    return ridge(problem, moments(problem, windows, &Window::v), zero, kNoPenalty);
  }

  static std::size_t tile_bytes(const Problem& problem, Index begin, Index rows) {
    if (!problem.causal) {
      return product_scratch_bytes(rows, problem.value_dim, problem.keys);
    }
    return multiply_lower_scratch_bytes(rows, problem.value_dim, seen_by(problem, begin + rows - 1),
                                        problem.position(begin));
  }

  static void weights_row(const ReferenceCall& call, Index i, double* row) {
    const ConstView a = call.tensors.matrix("a");
    for (Index j = 0; j < a.cols; ++j) row[j] = call.problem.sees(i, j) ? a(i, j) : 0;
  }
};

SUBQUAD_VARIANT(Constant,
                {.name = "constant",
                 .summary = "one matrix for all inputs: the oracle of what sees positions alone",
                 .citation = "oracle",
                 .time = "n^2 d, not sub-quadratic",
                 .memory = "d"});

}  // namespace
}  // namespace subquad
