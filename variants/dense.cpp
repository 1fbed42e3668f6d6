// dense: softmax attention over all keys (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), by tiles:
// the yardstick of every comparison.
//
//   out_i = sum_j softmax_j(scale q_i . k_j) v_j          over all keys j, j <= i where causal
//
// A tile of queries passes over blocks of keys with a running maximum and sum per row (Milakov and
// Gimelshein 2018, arXiv:1805.02867; Rabe and Staats 2021, arXiv:2112.05682; Dao et al. 2022,
// arXiv:2205.14135), so that no n x n matrix exists. Time O(n^2 d), memory O(n d): keys are packed
// once for all tiles. A decoder holds all keys and values (a key-value cache), O(n d).
//
// length gives queries and keys that length first, where it is not 0: what random feature attention
// (Peng et al. 2021, arXiv:2103.02143) estimates. A row of length 0 stays 0.
//
// Three switches make the dense attention that shared-QK Reformer (Kitaev et al. 2020,
// arXiv:2001.04451, section 2) restricts: keys=normalised_queries takes k_j = q_j / |q_j| (0 for a
// query of length 0), self_penalty is subtracted from the score of a token with itself, so that
// with 1e5 it attends to itself only if it sees nothing else, and scale=none leaves scores
// unscaled.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/streaming_softmax.h"
#include "kernels/window_stream.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Subtracts the penalty where a query meets its own position.
class SelfPenalty final : public ScoreEdit {
 public:
  SelfPenalty(Index first_query, double penalty)
      : first_query_(first_query), penalty_(static_cast<float>(penalty)) {}

  bool edits(Seen seen) const override { return seen == Seen::asked; }
  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    // The keys are consecutive.
    const Index own = first_query_ + query - keys.front();
    if (own >= 0 && own < static_cast<Index>(keys.size())) scores[own] -= penalty_;
  }

 private:
  Index first_query_;
  float penalty_;
};

class Dense final : public Variant {
 public:
  void parameters(Parameters& visit) override {
    visit("keys", keys_, {"given", "normalised_queries"},
          "K as given, or the queries scaled to length 1 (shared QK)");
    visit("self_penalty", self_penalty_, at_least(0),
          "subtracted from the score of a token with itself");
    visit("scale", scale_, {"problem", "none"}, "factor of the scores: the problem's, or 1");
    visit("length", length_, between(0, 1e6), "what queries and keys are scaled to; 0: as given");
    visit_precision(visit, precision_);
  }

  Target target(const Problem&) const override {
    return plain() ? Target::exact : Target::operation;
  }
  Consumes consumes() const override { return {.k = keys_ == Keys::given}; }
  bool ignores_key_order(const Problem& problem) const override {
    return plain() && !problem.causal;
  }
  bool gives_log_sum_exp() const override { return true; }
  std::string refuses(const Problem& problem) const override {
    if (keys_ == Keys::normalised_queries && !problem.self_attention()) {
      return "keys=normalised_queries needs as many queries as keys";
    }
    return subquad::refuses(precision_);
  }
  double operand_roundoff() const override { return subquad::operand_roundoff(precision_); }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    if (scales_keys()) scratch.shared<float>(problem.keys * problem.dim);
    if (length_ > 0) scratch.shared<float>(problem.queries * problem.dim);
    if (packs_keys(problem))
      declare_packed_keys(problem.keys, problem.dim, problem.value_dim, precision_, scratch);
    scratch.worker_bytes =
        softmax_scratch_bytes(tile_rows(problem), problem.dim, problem.value_dim, precision_);
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = softmax_cost(problem, problem.pairs());
    // Keys that are made of the queries are not read.
    if (keys_ != Keys::given) {
      cost.bytes -= sizeof(float) * static_cast<double>(problem.keys * problem.dim);
    }
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const ConstView keys = keys_ == Keys::given ? call.k : call.q;
    SoftmaxOperands operands{.q = length_ > 0 ? scaled(call.q, length_, call.run) : call.q,
                             .k = scales_keys() ? scaled(keys, key_length(), call.run) : keys,
                             .v = call.v,
                             .out = call.out,
                             .row_log_sum_exp = call.row_log_sum_exp,
                             .scale = static_cast<float>(score_scale(problem)),
                             .causal = problem.causal,
                             .first_query = problem.first_query,
                             .precision = precision_};
    if (packs_keys(problem)) pack_keys(operands, call.run);
    const SelfPenalty penalty(problem.first_query, self_penalty_);
    const Index rows = tile_rows(problem), tiles = (problem.queries + rows - 1) / rows;
    call.run.parallel(tiles, [&](Index number, Worker& worker) {
      // Where causal, the last queries see most keys: they come first, so that threads end
      // together.
      const Index tile = tiles - 1 - number;
      const Rows queries{tile * rows, std::min(rows, problem.queries - tile * rows)};
      KeySpan spans[3];
      KeyPlan plan(problem.keys, spans, {});
      if (self_penalty_ == 0) {
        plan.all(0, problem.keys);
        streaming_softmax(operands, queries, plan, nullptr, worker);
      } else {
        // Only the keys at the tile's own positions are asked about.
        const Index begin = std::min(problem.position(queries.begin), problem.keys);
        const Index end = std::min(problem.position(queries.last()) + 1, problem.keys);
        plan.all(0, begin);
        plan.asked(begin, end);
        plan.all(end, problem.keys);
        streaming_softmax(operands, queries, plan, &penalty, worker);
      }
    });
  }

  std::string refuses_stream(const Problem&) const override {
    if (keys_ == Keys::normalised_queries) {
      return "keys=normalised_queries makes keys of queries, and a prompt is read without any";
    }
    if (length_ > 0) return "length is for the whole alone (0 is decoded)";
    return self_penalty_ == 0 ? std::string()
                              : "self_penalty is for the whole alone (0 is decoded)";
  }
  /// Its window is the whole sequence.
  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    Problem scaled = problem;
    scaled.scale = score_scale(problem);
    return std::make_unique<WindowStream>(scaled, TokenWindow{.reach = problem.keys - 1},
                                          precision_);
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < call.problem.queries; ++i) row_weights(call, i, weights.row(i));
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.problem.queries; ++i) {
      const double log_sum_exp = row_weights(call, i, weights.data());
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
      for (Index c = 0; c < call.problem.value_dim; ++c) {
        double sum = 0;
        for (Index j = 0; j < call.problem.keys; ++j) {
          if (call.problem.sees(i, j)) sum += weights[j] * call.v(j, c);
        }
        call.out(i, c) = sum;
      }
    }
  }

 private:
  enum class Keys { given, normalised_queries };
  enum class Scale { problem, none };

  bool plain() const {
    return keys_ == Keys::given && self_penalty_ == 0 && scale_ == Scale::problem && length_ == 0;
  }
  bool scales_keys() const { return keys_ == Keys::normalised_queries || length_ > 0; }
  double key_length() const { return length_ > 0 ? length_ : 1; }
  double score_scale(const Problem& problem) const {
    return scale_ == Scale::none ? 1 : problem.score_scale();
  }

  /// A single tile packs keys as it goes.
  bool packs_keys(const Problem& problem) const { return problem.queries > tile_rows(problem); }

  Index tile_rows(const Problem& problem) const {
    return softmax_tile_rows(problem.queries, problem.dim, problem.value_dim, precision_);
  }

  /// `rows`, each scaled to `length`.
  static ConstView scaled(ConstView rows, double length, Run& run) {
    const View to = run.shared().take_matrix(rows.rows, rows.cols);
    constexpr Index kRows = 512;
    run.parallel((rows.rows + kRows - 1) / kRows, [&](Index tile, Worker&) {
      for (Index j = tile * kRows; j < std::min((tile + 1) * kRows, rows.rows); ++j) {
        double squares = 0;
        for (Index c = 0; c < rows.cols; ++c) squares += double{rows(j, c)} * rows(j, c);
        const double factor = squares == 0 ? 0 : length / std::sqrt(squares);
        for (Index c = 0; c < rows.cols; ++c) to(j, c) = static_cast<float>(factor * rows(j, c));
      }
    });
    return to;
  }

  /// Softmax of one row over all keys; returns its log-sum-exp.
  double row_weights(const ReferenceCall& call, Index i, double* weights) const {
    const Problem& problem = call.problem;
    double largest = -std::numeric_limits<double>::infinity();
    for (Index j = 0; j < problem.keys; ++j) {
      weights[j] = 0;
      if (!problem.sees(i, j)) continue;
      double dot = 0, squares = 0, query_squares = 0;
      for (Index c = 0; c < problem.dim; ++c) {
        const double key = keys_ == Keys::given ? call.k(j, c) : call.q(j, c);
        dot += call.q(i, c) * key;
        squares += key * key;
        query_squares += call.q(i, c) * call.q(i, c);
      }
      if (scales_keys()) dot = squares == 0 ? 0 : key_length() * dot / std::sqrt(squares);
      if (length_ > 0) dot = query_squares == 0 ? 0 : length_ * dot / std::sqrt(query_squares);
      weights[j] = score_scale(problem) * dot;
      if (j == problem.position(i)) weights[j] -= self_penalty_;
      largest = std::max(largest, weights[j]);
    }
    double sum = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      if (!problem.sees(i, j)) continue;
      weights[j] = std::exp(weights[j] - largest);
      sum += weights[j];
    }
    if (sum == 0) return largest;
    for (Index j = 0; j < problem.keys; ++j) weights[j] /= sum;
    return largest + std::log(sum);
  }

  Keys keys_ = Keys::given;
  double self_penalty_ = 0;
  Scale scale_ = Scale::problem;
  double length_ = 0;
  Precision precision_ = Precision::f32;
};

SUBQUAD_VARIANT(Dense, {.name = "dense",
                        .summary = "softmax attention over all keys, by tiles",
                        .citation = "arXiv:1706.03762",
                        .time = "n^2 d",
                        .memory = "n d"});

}  // namespace
}  // namespace subquad
