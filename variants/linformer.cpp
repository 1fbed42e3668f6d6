// linformer: softmax over `rank` projected keys instead of all. Wang et al. 2020, "Linformer:
// self-attention with linear complexity" (arXiv:2006.04768), section 4, equation 7.
//
//   out = softmax(scale Q (E K)^T) (F V),   E, F in R^(rank x n), along the length
//
// Time O(n rank (d + e)), memory O(rank (d + e)). E and F are learned in the paper, so this is an
// operation of its own and its figure against dense is a distance.
//
// `projection` says what E and F are. learned: full matrices, drawn from normal(0, 1 / sqrt(rank))
// as in the paper's theorem 2 until something fits them. gaussian: the same numbers as the method's
// randomness, drawn anew for every seed. The paper's "general projections": mean_pool averages
// equal segments of the keys, without a tensor; conv has a kernel and a stride of n / rank, one
// weight for each place in the kernel and all channels alike. Both take O(n d) beside attention.
// identity, at rank = n, is dense attention.
//
// `sharing` is that of section 4: none; headwise (one E and one F for all heads of a layer); kv
// (headwise, and F = E); layerwise (one matrix for the model). It says nothing where there is no
// tensor. The authors' code projects the layer's input before W_K is applied, which is the same up
// to the bias; how conv starts is not in the paper. Not causal: a projected key mixes all keys.
//
// Fitting, of learned E and F that are apart. With E given, the output is linear in F: P F V, where
// P = softmax(scale Q (E K)^T). E is set to the means of equal segments, and F solves
//   min sum over windows ||P F V - dense output||^2 + penalty ||F - E||^2,
// by conjugate gradients to a residual of 1e-10, which spares the (rank n)^2 matrix of the normal
// equations. The penalty, relative to that matrix' mean diagonal, is the one of 0.001, 0.01, ...
// 100 that best foretells windows left out. Where F = E, the output is not linear in it, and
// nothing is fitted. Median relative errors on the 8 odd windows of
// experiments/data/sentence_encoder_layer0_n128, fitted to the 8 even ones, rank = 32, heads 0 to
// 3:
//   E the means, F fitted                         .332 .760 .626 .735
//   E and F the means (mean_pool)                 .335 .762 .632 .737
//   E as drawn, F fitted about 1 / n, at best     .578 .946 .882 .930
//   mean of V                                     .773 .957 .928 .964
// and so in layer 1: what is gained is gained by the means, and little by fitting.

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/calibration.h"
#include "kernels/few_keys.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/segments.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Projection { learned, gaussian, mean_pool, conv, identity };
enum class Share { none, headwise, kv, layerwise };

/// Projected keys that one tile computes.
constexpr Index kRankTile = 64;
/// The longest inner extent of one product.
constexpr Index kDepth = 512;
/// A convolution starts near the mean; the noise tells heads apart.
constexpr double kConvNoise = 0.1;

/// softmax(scale Q (E K)^T) F V is to be the target.
Sandwich value_window(const Problem& problem, const Window& window, const RowMajor<double>& e) {
  const RowMajor<double> keys = e * as_eigen(window.k).cast<double>();
  RowMajor<double> weights =
      problem.score_scale() * (as_eigen(window.q).cast<double>() * keys.transpose());
  softmax_rows(weights);
  return {.left = std::move(weights),
          .right = as_eigen(window.v).cast<double>(),
          .target = as_eigen(window.target).cast<double>()};
}

class Linformer final : public Variant {
 public:
  Index rank = 64;
  Projection projection = Projection::learned;
  Share sharing = Share::none;

  void parameters(Parameters& visit) override {
    visit("rank", rank, at_least(1), "projected keys");
    visit("projection", projection, {"learned", "gaussian", "mean_pool", "conv", "identity"},
          "E and F: learned, drawn for every seed, segment means, strided convolution, none");
    visit(
        "sharing", sharing, {"none", "headwise", "kv", "layerwise"},
        "who shares E and F: nobody, the heads of a layer, these and E = F, all layers and E = F");
  }
  Target target(const Problem&) const override {
    return projection == Projection::identity ? Target::exact : Target::operation;
  }
  std::string exact_when(const Problem& problem) const override {
    return "rank=" + std::to_string(problem.keys) + ",projection=identity";
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "projected keys mix all positions, so nothing can be causal";
    const std::string keys = std::to_string(problem.keys);
    if (rank > problem.keys)
      return "rank " + std::to_string(rank) + " exceeds the " + keys + " keys";
    if (projection == Projection::identity && rank != problem.keys) {
      return "projection=identity needs rank = keys, " + keys;
    }
    if (projection == Projection::conv && problem.keys % rank != 0) {
      return "projection=conv needs a rank that divides the " + keys + " keys, not " +
             std::to_string(rank);
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    if (!has_tensors()) return;
    const subquad::Sharing shared = sharing == Share::none        ? Sharing::head
                                    : sharing == Share::layerwise ? Sharing::model
                                                                  : Sharing::layer;
    const Role role = projection == Projection::gaussian ? Role::random : Role::learned;
    visit("e", shape(problem), initialiser(), role, shared,
          shares_values() ? "projects keys and values along the length"
                          : "projects keys along the length",
          is_fitted() ? fit::closed_form("set to the means of equal segments") : Fitting{});
    if (shares_values()) return;
    visit("f", shape(problem), initialiser(), role, shared, "projects values along the length",
          is_fitted() ? fit::closed_form("ridge regression of the dense output on "
                                         "softmax(Q (E K)^T) and V, E given, about segment means")
                      : Fitting{});
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    declare_attend_all(problem.queries, rank, problem.dim, problem.value_dim, scratch);
    if (projection == Projection::identity) return scratch;
    scratch.shared_bytes += FewKeys::bytes(rank, problem);
    if (!has_matrices()) return scratch;
    for (Index part = 1; part < Segments::stretches(problem.keys).count; ++part) {
      scratch.shared_bytes += FewKeys::bytes(rank, problem);
    }
    const Index tile = std::min(rank, kRankTile), depth = std::min(problem.keys, kDepth);
    scratch.worker_bytes =
        std::max({scratch.worker_bytes, product_scratch_bytes(tile, problem.dim, depth),
                  product_scratch_bytes(tile, problem.value_dim, depth)});
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double pairs = static_cast<double>(problem.queries) * static_cast<double>(rank);
    const double elements = has_tensors() ? static_cast<double>(element_count(shape(problem))) : 0;
    // A weight of a convolution meets one row of each of its groups.
    const double rows =
        projection == Projection::conv ? static_cast<double>(problem.keys) : elements;
    Cost cost = softmax_cost(problem, pairs);
    cost.useful.multiply_adds += rows * static_cast<double>(problem.dim + problem.value_dim);
    cost.bytes += sizeof(float) * elements * (shares_values() ? 1 : 2);
    return cost;
  }

  void forward(const Call& call) const override {
    SoftmaxOperands operands{.q = call.q,
                             .k = call.k,
                             .v = call.v,
                             .out = call.out,
                             .scale = static_cast<float>(call.problem.score_scale())};
    if (projection != Projection::identity) {
      const FewKeys few = FewKeys::of(call, rank, [&](const FewKeys& to) { project(call, to); });
      operands.k = few.keys;
      operands.v = few.values;
    }
    attend_all(operands, call.run);
  }

  std::size_t prepared_bytes(const Problem& problem) const override {
    return projection == Projection::identity ? 0 : FewKeys::bytes(rank, problem);
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    if (projection == Projection::identity) return;
    project(call, FewKeys(prepared, rank, call.problem));
  }

  void reference(const ReferenceCall& call) const override {
    const std::vector<double> keys = projected(call, "e", call.k);
    const std::vector<double> values = projected(call, values_tensor(), call.v);
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
    for (Index i = 0; i < weights.rows; ++i) {
      const std::vector<double> row = softmax_row(call, keys, i);
      for (Index j = 0; j < weights.cols; ++j) {
        weights(i, j) = 0;
        for (Index r = 0; r < rank; ++r)
          weights(i, j) += row[r] * share(call, values_tensor(), r, j);
      }
    }
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    RowMajor<double> means(rank, problem.keys);
    for (Index r = 0; r < rank; ++r) {
      for (Index j = 0; j < problem.keys; ++j) means(r, j) = mean_share(problem.keys, r, j);
    }
    as_eigen(tensors.writable("e")) = means.cast<float>();
    const auto prepared = [&](std::span<const Window> some) {
      std::vector<Sandwich> result;
      for (const Window& window : some) result.push_back(value_window(problem, window, means));
      return result;
    };
    const auto errors = [&](std::span<const Window> others, const Window& left_out) {
      const std::vector<Sandwich> fitted_to = prepared(others);
      const Sandwich foretold = value_window(problem, left_out, means);
      std::vector<double> result;
      for (const double penalty : kPenalties) {
        const RowMajor<double> f = sandwich_ridge(fitted_to, means, penalty);
        result.push_back((foretold.left * (f * foretold.right) - foretold.target).squaredNorm());
      }
      return result;
    };
    const double penalty = best_penalty(windows, kPenalties, errors);
    as_eigen(tensors.writable("f")) =
        sandwich_ridge(prepared(windows), means, penalty).cast<float>();
  }

 private:
  bool shares_values() const { return sharing == Share::kv || sharing == Share::layerwise; }
  const char* values_tensor() const { return shares_values() ? "e" : "f"; }
  /// E and F are full matrices.
  bool has_matrices() const {
    return projection == Projection::learned || projection == Projection::gaussian;
  }
  bool is_fitted() const { return projection == Projection::learned && !shares_values(); }
  bool has_tensors() const { return has_matrices() || projection == Projection::conv; }

  Shape shape(const Problem& problem) const {
    if (projection == Projection::conv) return {{"stride", problem.keys / rank}};
    return {{"rank", rank}, {"keys", problem.keys}};
  }

  Initialiser initialiser() const {
    if (has_matrices()) return init::normal(1 / std::sqrt(static_cast<double>(rank)));
    const std::function<void(Generator&, const Shape&, std::span<float>)> fill =
        [](Generator& random, const Shape&, std::span<float> weights) {
          random.normals(weights, kConvNoise);
          for (float& weight : weights) weight = (1 + weight) / static_cast<float>(weights.size());
        };
    return init::custom("(1 + normal(0, 0.1)) / stride", fill);
  }

  /// E K and F V.
  void project(const Call& call, const FewKeys& to) const {
    if (has_matrices()) {
      project_by_matrices(call, to);
      return;
    }
    const Segments segments = Segments::equal(call.problem.keys, rank);
    if (projection == Projection::mean_pool) {
      segment_means(segments, call.k, to.keys, call.run);
      segment_means(segments, call.v, to.values, call.run);
      return;
    }
    segment_sums(segments, call.k, call.tensors.matrix("e").data, to.keys, call.run);
    segment_sums(segments, call.v, call.tensors.matrix(values_tensor()).data, to.values, call.run);
  }

  void project_by_matrices(const Call& call, const FewKeys& to) const {
    const Segments stretches = Segments::stretches(call.problem.keys);
    const Index parts = stretches.count;
    std::array<FewKeys, Segments::kMostStretches> partial;
    partial[0] = to;
    for (Index part = 1; part < parts; ++part) {
      partial[part] = FewKeys(call.run.shared(), rank, call.problem);
    }
    const Index tiles = (rank + kRankTile - 1) / kRankTile;
    call.run.parallel(tiles * parts, [&](Index index, Worker& worker) {
      const Index part = index / tiles;
      const Rows keys{stretches.begin(part), stretches.size(part)};
      project_stretch(call, index % tiles, keys, partial[part], worker);
    });
    if (parts == 1) return;
    call.run.parallel(tiles, [&](Index tile, Worker&) {
      for (Index part = 1; part < parts; ++part) {
        add_rows(tile, partial[part].keys, to.keys);
        add_rows(tile, partial[part].values, to.values);
      }
    });
  }

  /// Rows of E K and F V, from the keys of one stretch.
  void project_stretch(const Call& call, Index tile, const Rows& stretch, const FewKeys& to,
                       Worker& worker) const {
    const Index row = tile * kRankTile, rows = std::min(kRankTile, rank - row);
    const Index begin = stretch.begin, end = stretch.begin + stretch.count;
    const ConstView e = call.tensors.matrix("e").row_range(row, rows);
    const ConstView f = call.tensors.matrix(values_tensor()).row_range(row, rows);
    // Where F is E, its columns are still in the cache for the second product.
    for (Index j = begin; j < end; j += kDepth) {
      const Index keys = std::min(kDepth, end - j);
      multiply(e.col_range(j, keys), call.k.row_range(j, keys), to.keys.row_range(row, rows),
               worker, 1, j > begin);
      multiply(f.col_range(j, keys), call.v.row_range(j, keys), to.values.row_range(row, rows),
               worker, 1, j > begin);
    }
  }

  static void add_rows(Index tile, ConstView from, View to) {
    const Index end = std::min((tile + 1) * kRankTile, to.rows);
    for (Index i = tile * kRankTile; i < end; ++i) {
      for (Index c = 0; c < to.cols; ++c) to(i, c) += from(i, c);
    }
  }

  /// Element (r, j) of the matrix of segment means.
  double mean_share(Index keys, Index r, Index j) const {
    const Index begin = r * keys / rank, end = (r + 1) * keys / rank;
    return j >= begin && j < end ? 1 / static_cast<double>(end - begin) : 0;
  }

  /// Element (r, j) of E or F.
  double share(const ReferenceCall& call, std::string_view name, Index r, Index j) const {
    const Index keys = call.problem.keys;
    switch (projection) {
      case Projection::mean_pool:
        return mean_share(keys, r, j);
      case Projection::conv: {
        const Index stride = keys / rank;
        return j / stride == r ? call.tensors.matrix(name).data[j % stride] : 0;
      }
      case Projection::identity:
        return r == j ? 1 : 0;
      default:
        return call.tensors.matrix(name)(r, j);
    }
  }

  /// [rank, columns]: E or F times `rows`, in double.
  std::vector<double> projected(const ReferenceCall& call, std::string_view name,
                                MatrixView<const double> rows) const {
    std::vector<double> result(static_cast<std::size_t>(rank * rows.cols));
    for (Index r = 0; r < rank; ++r) {
      for (Index j = 0; j < rows.rows; ++j) {
        const double factor = share(call, name, r, j);
        if (factor == 0) continue;
        for (Index c = 0; c < rows.cols; ++c) result[r * rows.cols + c] += factor * rows(j, c);
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
    naive_softmax(row);
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
