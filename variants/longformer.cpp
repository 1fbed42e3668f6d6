// longformer: a sliding window, dilated on request, and global tokens. Beltagy, Peters and Cohan
// 2020, "Longformer: the long-document transformer" (arXiv:2004.05150), section 3.1.
//
//   an ordinary query at position p sees the keys p + dilation * t for |t| <= floor(window / 2),
//   and those of global tokens; a global token sees all keys (only those at j <= p where causal)
//
//   projections=separate: rows of global tokens are made by projections of their own,
//   softmax(scale (q W_q) (K W_k)^T) (V W_v), over all keys; other rows look at global tokens with
//   K and V as they are
//
// Time O(n (window + tokens) d), memory O(n) for the sums in which windows and global rows meet.
//
// A key that is global and in the window counts once. The paper's second set of projections starts
// as a copy of the first, of which Q, K and V here are the results: so W_q, W_k and W_v are what
// the second set differs by, and begin as identities. (q W_q) (K W_k)^T is computed as (q W_q
// W_k^T) K^T and the values are projected after they are summed, which is the same without a pass
// over K and V. The released code counts its window by one side; `window` is the paper's, both
// sides.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/global_tokens.h"
#include "kernels/product.h"
#include "kernels/streaming_softmax.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Projections { shared, separate };

/// Hides keys behind each global row: rows are numbered among the global ones, so their number says
/// nothing about their position.
class HideFuture final : public ScoreEdit {
 public:
  HideFuture(const Problem& problem, std::span<const std::int32_t> rows)
      : problem_(problem), rows_(rows) {}

  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const Index position = problem_.position(rows_[static_cast<std::size_t>(query)]);
    const auto future = std::upper_bound(keys.begin(), keys.end(), position) - keys.begin();
    std::fill(scores + future, scores + keys.size(), -std::numeric_limits<float>::infinity());
  }

 private:
  const Problem& problem_;
  std::span<const std::int32_t> rows_;
};

class Longformer final : public WindowWithGlobalTokens {
 public:
  Longformer() : WindowWithGlobalTokens(8) {}

  void parameters(Parameters& visit) override {
    visit("window", window_, between(0, 1e9), "width of the window, half of it on either side");
    visit("dilation", dilation_, between(1, 1e9), "distance between neighbouring keys of a window");
    globals_.parameters(visit);
    visit("projections", projections_, {"shared", "separate"},
          "global rows use Q, K and V as they are, or projections of their own");
  }

  Target target(const Problem& problem) const override {
    return projects(problem) ? Target::operation : Target::restriction;
  }
  std::string exact_when(const Problem& problem) const override {
    const Index reach = std::max(problem.keys, problem.position(problem.queries));
    return "window=" + std::to_string(2 * reach) + ",dilation=1,projections=shared";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    WindowWithGlobalTokens::tensors(problem, visit);
    if (!projects(problem)) return;
    const auto square = [&](std::string_view name, Index width, std::string_view doc) {
      visit(name, {{"dim", width}, {"projected", width}}, init::identity(), Role::learned,
            Sharing::head, doc);
    };
    square("query_projection", problem.dim, "projects the queries of global rows");
    square("key_projection", problem.dim, "projects all keys for global rows");
    square("value_projection", problem.value_dim, "projects all values for global rows");
  }

  Index passes(const Problem& problem) const override {
    return without_global_rows_ ? 1 : WindowWithGlobalTokens::passes(problem);
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = WindowWithGlobalTokens::cost(problem);
    if (!projects(problem)) return cost;
    const auto dim = static_cast<double>(problem.dim),
               width = static_cast<double>(problem.value_dim);
    const double weights = 2 * dim * dim + width * width;
    cost.useful.multiply_adds += static_cast<double>(most_global_rows(problem)) * weights;
    cost.bytes += sizeof(float) * weights;
    cost.exact = false;  // at the most: global tokens may lie outside the queries
    return cost;
  }

  Scratch scratch(const Problem& problem) const override {
    if (!projects(problem)) return WindowWithGlobalTokens::scratch(problem);
    Scratch scratch = ordinary_rows().WindowWithGlobalTokens::scratch(problem);
    const Index rows = most_global_rows(problem), dim = problem.dim, width = problem.value_dim;
    const Index tile = std::min(rows, softmax_tile_rows(dim, width, precision()));
    scratch.shared<std::int32_t>(rows);
    Scratch own;
    own.worker<float>(tile * dim).worker<float>(tile * dim).worker<float>(tile * width);
    own.worker<float>(tile * width).worker<float>(tile).worker<KeySpan>(1);
    own.worker_bytes +=
        std::max({product_scratch_bytes(tile, dim, dim), product_scratch_bytes(tile, width, width),
                  softmax_scratch_bytes(tile, dim, width, precision())});
    scratch.worker_bytes = std::max(scratch.worker_bytes, own.worker_bytes);
    return scratch;
  }

  void forward(const Call& call) const override {
    if (!projects(call.problem)) return WindowWithGlobalTokens::forward(call);
    ordinary_rows().WindowWithGlobalTokens::forward(call);
    const std::span<std::int32_t> memory =
        call.run.shared().take<std::int32_t>(most_global_rows(call.problem));
    const Index count = list_rows({call.problem, call.tensors, 1}, memory);
    const std::span<const std::int32_t> rows = memory.first(static_cast<std::size_t>(count));
    const Index most =
        std::min(most_global_rows(call.problem),
                 softmax_tile_rows(call.problem.dim, call.problem.value_dim, precision()));
    call.run.parallel((count + most - 1) / most, [&](Index tile, Worker& worker) {
      const Index begin = tile * most;
      attend_globally(call,
                      rows.subspan(static_cast<std::size_t>(begin),
                                   static_cast<std::size_t>(std::min(most, count - begin))),
                      worker);
    });
  }

  void reference(const ReferenceCall& call) const override {
    WindowWithGlobalTokens::reference(call);
    if (!projects(call.problem)) return;
    const std::vector<std::vector<double>> values = projected(call, call.v, "value_projection");
    for_global_rows(call, [&](Index row, const std::vector<double>& weights, double log_sum_exp) {
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[row] = log_sum_exp;
      std::fill_n(call.out.row(row), call.out.cols, 0.0);
      for (Index j = 0; j < call.problem.keys; ++j) {
        if (weights[j] == 0) continue;
        for (Index c = 0; c < call.out.cols; ++c) call.out(row, c) += weights[j] * values[j][c];
      }
    });
  }

  /// With a value projection that was loaded, the output of a global row is its weights times V
  /// W_v.
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    WindowWithGlobalTokens::weights(call, weights);
    if (!projects(call.problem)) return;
    for_global_rows(call, [&](Index row, const std::vector<double>& of_row, double) {
      std::copy(of_row.begin(), of_row.end(), weights.row(row));
    });
  }

 protected:
  Shape window() const override { return {window_ / 2, dilation_}; }

 private:
  bool projects(const Problem& problem) const {
    return projections_ == Projections::separate && globals_.count(problem) > 0;
  }
  Index most_global_rows(const Problem& problem) const {
    return std::min(globals_.count(problem), problem.queries);
  }
  /// The same without the pass over global rows, which then are as ordinary as others.
  Longformer ordinary_rows() const {
    Longformer copy(*this);
    copy.without_global_rows_ = true;
    return copy;
  }

  /// Attention of some global rows over all keys, by their own projections.
  void attend_globally(const Call& call, std::span<const std::int32_t> rows, Worker& worker) const {
    const Index count = static_cast<Index>(rows.size()), dim = call.problem.dim;
    const Index width = call.problem.value_dim;
    const View queries = worker.scratch.take_matrix(count, dim);
    const View between = worker.scratch.take_matrix(count, dim);
    const View sums = worker.scratch.take_matrix(count, width);
    const View values = worker.scratch.take_matrix(count, width);
    float* const log_sum_exp = worker.scratch.take<float>(count).data();
    const std::span<KeySpan> spans = worker.scratch.take<KeySpan>(1);

    for (Index i = 0; i < count; ++i) std::copy_n(call.q.row(rows[i]), dim, queries.row(i));
    multiply(queries, call.tensors.matrix("query_projection"), between, worker);
    multiply_transposed(between, call.tensors.matrix("key_projection"), queries, worker);
    KeyPlan all(call.problem.keys, spans, {});
    all.all(0, call.problem.keys);
    const HideFuture future(call.problem, rows);
    streaming_softmax({.q = queries,
                       .k = call.k,
                       .v = call.v,
                       .out = sums,
                       .row_log_sum_exp = log_sum_exp,
                       .scale = static_cast<float>(call.problem.score_scale()),
                       .precision = precision()},
                      {.begin = 0, .count = count}, all, call.problem.causal ? &future : nullptr,
                      worker);
    multiply(sums, call.tensors.matrix("value_projection"), values, worker);
    for (Index i = 0; i < count; ++i) {
      std::copy_n(values.row(i), width, call.out.row(rows[i]));
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[rows[i]] = log_sum_exp[i];
    }
  }

  /// For the reference: all rows of a matrix times a projection.
  static std::vector<std::vector<double>> projected(const ReferenceCall& call,
                                                    MatrixView<const double> matrix,
                                                    std::string_view name) {
    const ConstView projection = call.tensors.matrix(name);
    std::vector<std::vector<double>> result;
    for (Index i = 0; i < matrix.rows; ++i) {
      std::vector<double>& row = result.emplace_back(static_cast<std::size_t>(projection.cols));
      for (Index r = 0; r < projection.rows; ++r) {
        for (Index c = 0; c < projection.cols; ++c) row[c] += matrix(i, r) * projection(r, c);
      }
    }
    return result;
  }

  /// For the reference: calls body(row, softmax weights, log-sum-exp) for each global row.
  template <class Body>
  void for_global_rows(const ReferenceCall& call, const Body& body) const {
    const Problem& problem = call.problem;
    const std::vector<std::vector<double>> queries = projected(call, call.q, "query_projection");
    const std::vector<std::vector<double>> keys = projected(call, call.k, "key_projection");
    for (Index i = 0; i < problem.queries; ++i) {
      if (!globals_.contains({problem, call.tensors}, problem.position(i))) continue;
      const Index seen =
          problem.causal ? std::min(problem.position(i) + 1, problem.keys) : problem.keys;
      std::vector<double> weights(static_cast<std::size_t>(problem.keys), 0.0);
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (Index j = 0; j < seen; ++j) {
        double dot = 0;
        for (Index c = 0; c < problem.dim; ++c) dot += queries[i][c] * keys[j][c];
        weights[j] = problem.score_scale() * dot;
        largest = std::max(largest, weights[j]);
      }
      for (Index j = 0; j < seen; ++j) sum += weights[j] = std::exp(weights[j] - largest);
      for (Index j = 0; j < seen; ++j) weights[j] /= sum;
      body(i, weights, largest + std::log(sum));
    }
  }

  Index window_ = 512;
  Index dilation_ = 1;
  Projections projections_ = Projections::shared;
  bool without_global_rows_ = false;
};

SUBQUAD_VARIANT(Longformer, {.name = "longformer",
                             .summary = "a sliding window and global tokens",
                             .citation = "arXiv:2004.05150",
                             .time = "n (window + tokens) d",
                             .memory = "n"});

}  // namespace
}  // namespace subquad
