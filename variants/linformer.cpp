// linformer: softmax over `rank` projected keys instead of all. Wang et al. 2020, "Linformer:
// self-attention with linear complexity" (arXiv:2006.04768), section 4, equation 7.
//
//   out = softmax(scale Q (E K)^T) (F V),   E, F in R^(rank x n), along the length
//
// Time O(n rank (d + e)), memory O(rank (d + e)).
//
// E and F are learned in the paper, so this is an operation of its own and its figure against dense
// is a distance. `projection` says how they are set before anything is learned: `gaussian` draws
// them with variance 1 / rank, as in the paper's theorem 2; `segment_means` averages equal
// stretches of the keys; `identity`, at rank = n alone, gives dense attention. `sharing` is that of
// the paper's section 4: none; headwise (one E and one F for all heads of a layer); kv (headwise,
// and F = E); layerwise (one matrix for the model). The authors' code projects the layer's input
// before W_K is applied, which is the same up to the bias. Not causal: a projected key mixes all
// keys.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/product.h"
#include "kernels/streaming_softmax.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Projection { gaussian, segment_means, identity };
enum class Share { none, headwise, kv, layerwise };

/// Projected keys that one tile computes.
constexpr Index kRankTile = 64;
/// The longest inner extent of one product.
constexpr Index kDepth = 512;
/// Stretches of keys whose partial projections are added afterwards, at the most.
constexpr Index kStretches = 16;
constexpr Index kStretchKeys = 1024;

class Linformer final : public Variant {
 public:
  Index rank = 64;
  Projection projection = Projection::gaussian;
  Share sharing = Share::none;

  void parameters(Parameters& visit) override {
    visit("rank", rank, at_least(1), "projected keys");
    visit("projection", projection, {"gaussian", "segment_means", "identity"},
          "what E and F hold before they are learned");
    visit(
        "sharing", sharing, {"none", "headwise", "kv", "layerwise"},
        "who shares E and F: nobody, the heads of a layer, these and E = F, all layers and E = F");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string exact_when(const Problem& problem) const override {
    return "rank=" + std::to_string(problem.keys) + ",projection=identity";
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "projected keys mix all positions, so nothing can be causal";
    if (rank > problem.keys) {
      return "rank " + std::to_string(rank) + " exceeds the " + std::to_string(problem.keys) +
             " keys";
    }
    if (projection == Projection::identity && rank != problem.keys) {
      return "projection=identity needs rank = keys, " + std::to_string(problem.keys);
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const subquad::Sharing shared = sharing == Share::none        ? Sharing::head
                                    : sharing == Share::layerwise ? Sharing::model
                                                                  : Sharing::layer;
    visit("e", {{"rank", rank}, {"keys", problem.keys}}, initialiser(), Role::learned, shared,
          shares_values() ? "projects keys and values along the length"
                          : "projects keys along the length");
    if (shares_values()) return;
    visit("f", {{"rank", rank}, {"keys", problem.keys}}, initialiser(), Role::learned, shared,
          "projects values along the length");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index width = problem.dim + problem.value_dim;
    const Index rows = softmax_tile_rows(problem.dim, problem.value_dim);
    const Index tile = std::min(rank, kRankTile);
    const std::size_t inside = std::max(
        {product_scratch_bytes(tile, problem.dim, std::min(problem.keys, kDepth)),
         product_scratch_bytes(tile, problem.value_dim, std::min(problem.keys, kDepth)),
         padded_bytes(sizeof(KeySpan)) + softmax_scratch_bytes(std::min(rows, problem.queries),
                                                               problem.dim, problem.value_dim)});
    return Scratch()
        .shared<float>(stretches(problem) * rank * width)
        .worker<std::byte>(static_cast<Index>(inside));
  }

  Cost cost(const Problem& p) const override {
    const double width = static_cast<double>(p.dim + p.value_dim);
    const double queries = static_cast<double>(p.queries), keys = static_cast<double>(p.keys);
    const double rows = static_cast<double>(rank);
    return {.useful = {.multiply_adds = rows * keys * width + queries * rows * width,
                       .exponentials = queries * rows},
            .bytes = sizeof(float) *
                     ((queries + keys) * width + (shares_values() ? 1 : 2) * rows * keys)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const Index parts = stretches(problem), width = problem.dim + problem.value_dim;
    const View partial = call.run.shared().take_matrix(parts * rank, width);
    const Index tiles = (rank + kRankTile - 1) / kRankTile;
    call.run.parallel(tiles * parts, [&](Index index, Worker& worker) {
      project(call, index % tiles, index / tiles, partial, worker);
    });
    if (parts > 1) {
      call.run.parallel(tiles, [&](Index tile, Worker&) { add_up(tile, parts, partial); });
    }
    attend(call, partial.row_range(0, rank));
  }

  void reference(const ReferenceCall& call) const override {
    const std::vector<double> keys = projected(call, "e", call.k);
    const std::vector<double> values = projected(call, shares_values() ? "e" : "f", call.v);
    for (Index i = 0; i < call.out.rows; ++i) {
      const std::vector<double> row = softmax_row(call, keys, i);
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index r = 0; r < rank; ++r) call.out(i, c) += row[r] * values[r * call.out.cols + c];
      }
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const std::vector<double> keys = projected(call, "e", call.k);
    const ConstView f = call.tensors.matrix(shares_values() ? "e" : "f");
    for (Index i = 0; i < weights.rows; ++i) {
      const std::vector<double> row = softmax_row(call, keys, i);
      for (Index j = 0; j < weights.cols; ++j) {
        weights(i, j) = 0;
        for (Index r = 0; r < rank; ++r) weights(i, j) += row[r] * f(r, j);
      }
    }
  }

 private:
  bool shares_values() const { return sharing == Share::kv || sharing == Share::layerwise; }

  Initialiser initialiser() const {
    if (projection == Projection::segment_means) return init::segment_means();
    if (projection == Projection::identity) return init::identity();
    return init::normal(1 / std::sqrt(static_cast<double>(rank)));
  }

  static Index stretch_length(const Problem& problem) {
    return std::max(kStretchKeys, (problem.keys + kStretches - 1) / kStretches);
  }
  static Index stretches(const Problem& problem) {
    const Index length = stretch_length(problem);
    return (problem.keys + length - 1) / length;
  }

  /// Rows of E K and F V, from the keys of one stretch.
  void project(const Call& call, Index tile, Index stretch, View partial, Worker& worker) const {
    const Index row = tile * kRankTile, rows = std::min(kRankTile, rank - row);
    const Index length = stretch_length(call.problem);
    const Index begin = stretch * length, end = std::min(begin + length, call.problem.keys);
    const View to = partial.row_range(stretch * rank + row, rows);
    const ConstView e = call.tensors.matrix("e").row_range(row, rows);
    const ConstView f = shares_values() ? e : call.tensors.matrix("f").row_range(row, rows);
    for (Index j = begin; j < end; j += kDepth) {
      const Index keys = std::min(kDepth, end - j);
      multiply(e.col_range(j, keys), call.k.row_range(j, keys), to.col_range(0, call.problem.dim),
               worker, 1, j > begin);
      multiply(f.col_range(j, keys), call.v.row_range(j, keys),
               to.col_range(call.problem.dim, call.problem.value_dim), worker, 1, j > begin);
    }
  }

  /// Adds the stretches' parts to the first, in their order.
  void add_up(Index tile, Index parts, View partial) const {
    const Index row = tile * kRankTile, rows = std::min(kRankTile, rank - row);
    for (Index part = 1; part < parts; ++part) {
      for (Index i = row; i < row + rows; ++i) {
        const float* from = partial.row(part * rank + i);
        for (Index c = 0; c < partial.cols; ++c) partial(i, c) += from[c];
      }
    }
  }

  void attend(const Call& call, View projected) const {
    const Problem& problem = call.problem;
    const SoftmaxOperands operands{.q = call.q,
                                   .k = projected.col_range(0, problem.dim),
                                   .v = projected.col_range(problem.dim, problem.value_dim),
                                   .out = call.out,
                                   .scale = static_cast<float>(problem.score_scale())};
    const Index rows = softmax_tile_rows(problem.dim, problem.value_dim);
    call.run.parallel((problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      KeyPlan plan(rank, worker.scratch.take<KeySpan>(1), {});
      plan.all(0, rank);
      const Index begin = tile * rows;
      streaming_softmax(operands, {begin, std::min(rows, problem.queries - begin)}, plan, nullptr,
                        worker);
    });
  }

  /// [rank, columns]: the named tensor times `rows`, in double.
  std::vector<double> projected(const ReferenceCall& call, std::string_view name,
                                MatrixView<const double> rows) const {
    const ConstView projection = call.tensors.matrix(name);
    std::vector<double> result(static_cast<std::size_t>(rank * rows.cols));
    for (Index r = 0; r < rank; ++r) {
      for (Index j = 0; j < rows.rows; ++j) {
        for (Index c = 0; c < rows.cols; ++c) {
          result[r * rows.cols + c] += projection(r, j) * rows(j, c);
        }
      }
    }
    return result;
  }

  /// softmax(scale q_i^T (E K)^T).
  std::vector<double> softmax_row(const ReferenceCall& call, const std::vector<double>& keys,
                                  Index i) const {
    std::vector<double> row(static_cast<std::size_t>(rank));
    for (Index r = 0; r < rank; ++r) {
      for (Index c = 0; c < call.q.cols; ++c) row[r] += call.q(i, c) * keys[r * call.q.cols + c];
      row[r] *= call.problem.score_scale();
    }
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double& value : row) sum += value = std::exp(value - largest);
    for (double& value : row) value /= sum;
    return row;
  }
};

SUBQUAD_VARIANT(
    Linformer, {.name = "linformer",
                .summary = "softmax over keys and values projected along the length to `rank` rows",
                .citation = "arXiv:2006.04768",
                .time = "n rank d",
                .memory = "rank d"});

}  // namespace
}  // namespace subquad
