// multiplicative: attention by an inner product of queries and keys, with a matrix between them or
// none. Luong, Pham and Manning 2015, "Effective approaches to attention-based neural machine
// translation" (arXiv:1508.04025), section 3.1.
//
//   dot:      score(q_i, k_j) = q_i . k_j
//   general:  score(q_i, k_j) = q_i^T W k_j,   W in R^(dim x dim)
//   out_i = sum_j softmax_j(score(q_i, k_j)) v_j                over all keys j, j <= i where
//   causal
//
// Their third score, concat, is the variant `additive`. Dense attention is `dot` times the scale
// 1 / sqrt(dim), which came two years later; scaled=true multiplies either score by the problem's
// scale. Time O(queries keys (d + e)), for `general` O(queries d^2) more: W^T q_i is made once
// per tile of queries, and then both are the same streaming softmax. Memory O(keys (d + e)) where
// keys are packed for several tiles, otherwise O(tile d). A decoder holds all keys and values.
//
// Different from the paper. W starts as the identity plus normal(0, 0.1 / sqrt(dim)), so near
// `dot`; the paper starts everything uniform in [-0.1, 0.1]. Nothing fits W: at W = scale x
// identity `general` is dense attention exactly, so the closed form of fitting it to dense says
// nothing.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/lone_worker-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/position_blocks.h"
#include "kernels/product.h"
#include "kernels/streaming_softmax.h"
#include "kernels/window_stream.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { dot, general };

/// Deviation of W's elements from the identity, times sqrt(dim).
constexpr double kNoise = 0.1;

/// Decoder that keeps W k in the place of k, so that each token is projected once, whatever asks.
class GeneralStream final : public Stream {
 public:
  GeneralStream(ConstView w, std::unique_ptr<Stream> inner)
      : w_(w),
        key_(static_cast<std::size_t>(w.rows)),
        inner_(std::move(inner)),
        lone_(product_scratch_bytes(1, w.rows, w.cols)) {}
  GeneralStream(const GeneralStream& other)
      : w_(other.w_), key_(other.key_), inner_(other.inner_->clone()), lone_(other.lone_) {}

  void step(const Token& token) override {
    Worker worker = lone_.worker();
    multiply_transposed({token.key, 1, w_.cols}, w_, {key_.data(), 1, w_.rows}, worker);
    Token projected = token;
    projected.key = key_.data();
    inner_->step(projected);
  }
  std::unique_ptr<Stream> clone() const override { return std::make_unique<GeneralStream>(*this); }
  std::size_t state_bytes() const override { return inner_->state_bytes(); }

 private:
  ConstView w_;
  std::vector<float> key_;  ///< of the token that is read
  std::unique_ptr<Stream> inner_;
  LoneWorker lone_;
};

class Multiplicative final : public Variant {
 public:
  Kind kind = Kind::general;
  bool scaled = false;

  void parameters(Parameters& visit) override {
    visit("kind", kind, {"dot", "general"}, "score: q . k, or q^T W k");
    visit("scaled", scaled, "multiplies scores by the problem's scale");
  }
  Target target(const Problem&) const override {
    return kind == Kind::dot && scaled ? Target::exact : Target::operation;
  }
  std::string exact_when(const Problem&) const override { return "kind=dot,scaled=true"; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }
  bool gives_log_sum_exp() const override { return true; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    if (kind == Kind::dot) return;
    const Extent columns{"dim", problem.dim};
    const std::function<void(Generator&, const Shape&, std::span<float>)> fill =
        [](Generator& random, const Shape& shape, std::span<float> w) {
          const Index dim = shape.back().size;
          random.normals(w, kNoise / std::sqrt(static_cast<double>(dim)));
          for (Index c = 0; c < dim; ++c) w[static_cast<std::size_t>(c * dim + c)] += 1;
        };
    visit("w", {columns, columns}, init::custom("identity + normal(0, 0.1 / sqrt(dim))", fill),
          Role::learned, Sharing::head, "between query and key");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    if (kind == Kind::general) scratch.shared<float>(problem.queries * problem.dim);
    if (packs_keys(problem)) {
      declare_packed_keys(problem.keys, problem.dim, problem.value_dim, Precision::f32, scratch);
    }
    const Index rows = tile_rows(problem);
    scratch.worker_bytes = softmax_scratch_bytes(rows, problem.dim, problem.value_dim);
    if (kind == Kind::general) {
      scratch.worker_bytes =
          std::max(scratch.worker_bytes, product_scratch_bytes(rows, problem.dim, problem.dim));
    }
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = softmax_cost(problem, problem.pairs());
    if (kind == Kind::dot) return cost;
    const double elements = static_cast<double>(problem.dim * problem.dim);
    cost.useful.multiply_adds += static_cast<double>(problem.queries) * elements;
    cost.bytes += sizeof(float) * elements;
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const bool general = kind == Kind::general;
    const ConstView w = general ? call.tensors.matrix("w") : ConstView();
    const View projected =
        general ? call.run.shared().take_matrix(problem.queries, problem.dim) : View();
    SoftmaxOperands operands{.q = general ? ConstView(projected) : call.q,
                             .k = call.k,
                             .v = call.v,
                             .out = call.out,
                             .row_log_sum_exp = call.row_log_sum_exp,
                             .scale = static_cast<float>(score_scale(problem)),
                             .causal = problem.causal,
                             .first_query = problem.first_query};
    if (packs_keys(problem)) pack_keys(operands, call.run);
    const Index rows = tile_rows(problem), tiles = block_count(problem.queries, rows);
    call.run.parallel(tiles, [&](Index number, Worker& worker) {
      // Where causal, the last queries see most keys: they come first, so that threads end
      // together.
      const Index begin = (tiles - 1 - number) * rows;
      const Rows queries{begin, std::min(rows, problem.queries - begin)};
      if (general) {
        multiply(call.q.row_range(begin, queries.count), w,
                 projected.row_range(begin, queries.count), worker);
      }
      KeySpan spans[1];
      KeyPlan plan(problem.keys, spans, {});
      plan.all(0, problem.keys);
      streaming_softmax(operands, queries, plan, nullptr, worker);
    });
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    Problem of_scores = problem;
    of_scores.scale = score_scale(problem);
    auto window = std::make_unique<WindowStream>(of_scores, TokenWindow{.reach = problem.keys - 1},
                                                 Precision::f32);
    if (kind == Kind::dot) return window;
    return std::make_unique<GeneralStream>(tensors.matrix("w"), std::move(window));
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) row_weights(call, i, weights.row(i));
  }
  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) {
      const double log_sum_exp = row_weights(call, i, row);
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
    });
  }

 private:
  double score_scale(const Problem& problem) const { return scaled ? problem.score_scale() : 1; }
  /// A single tile packs keys as it goes.
  static bool packs_keys(const Problem& problem) { return problem.queries > tile_rows(problem); }
  static Index tile_rows(const Problem& problem) {
    return softmax_tile_rows(problem.queries, problem.dim, problem.value_dim, Precision::f32);
  }

  /// Softmax of one row of scores; returns its log-sum-exp.
  double row_weights(const ReferenceCall& call, Index i, double* row) const {
    const Problem& problem = call.problem;
    std::vector<double> query(static_cast<std::size_t>(problem.dim));
    for (Index c = 0; c < problem.dim; ++c) {
      if (kind == Kind::dot) query[c] = call.q(i, c);
      for (Index b = 0; kind == Kind::general && b < problem.dim; ++b) {
        query[c] += call.q(i, b) * call.tensors.matrix("w")(b, c);
      }
    }
    for (Index j = 0; j < problem.keys; ++j) {
      row[j] = -std::numeric_limits<double>::infinity();
      if (!problem.sees(i, j)) continue;
      row[j] = 0;
      for (Index c = 0; c < problem.dim; ++c) row[j] += query[c] * call.k(j, c);
      row[j] *= score_scale(problem);
    }
    return naive_softmax({row, static_cast<std::size_t>(problem.keys)});
  }
};

SUBQUAD_VARIANT(Multiplicative,
                {.name = "multiplicative",
                 .summary = "scores are inner products, q . k or q^T W k, not scaled",
                 .citation = "arXiv:1508.04025",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad
