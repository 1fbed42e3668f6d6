// What Restriction derives from `sees` and `plan`.

#include "subquad/restriction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

/// How query rows are cut into tiles: by blocks first, in a block by residue modulo the step, and
/// then into as few pieces as are needed.
struct Tiling {
  Index queries;
  Index block;     ///< rows that no tile may straddle a multiple of
  Index step;      ///< distance of the rows of a tile
  Index residues;  ///< modulo the step, that a block has
  Index rows;      ///< of a tile, at the most
  Index pieces;    ///< tiles per block and residue

  Tiling(const Restriction& variant, const Problem& problem, Precision precision)
      : queries(problem.queries),
        block(variant.query_tile(problem)),
        step(variant.query_step(problem)) {
    const Index all = std::max<Index>(1, queries);
    block = block <= 0 ? all : std::min(block, all);
    residues = std::min(step, block);
    const Index of_residue = (block + step - 1) / step;
    rows = std::min(softmax_tile_rows(problem.dim, problem.value_dim, precision), of_residue);
    pieces = (of_residue + rows - 1) / rows;
  }

  Index count() const { return (queries + block - 1) / block * residues * pieces; }

  /// Rows of a tile; none for the empty ones at the end of a block.
  Rows tile(Index number) const {
    const Index piece = number % pieces;
    const Index residue = number / pieces % residues;
    const Index first = number / pieces / residues * block;
    const Index begin = first + residue + piece * rows * step;
    const Index end = std::min(first + block, queries);
    if (begin >= end) return {};
    return {begin, std::min(rows, (end - begin + step - 1) / step), step};
  }
};

/// Decides the pairs of spans that are marked `Seen::asked`.
class AskedPairs final : public ScoreEdit {
 public:
  AskedPairs(const Restriction& variant, const PlanCall& call) : variant_(variant), call_(call) {}

  bool edits(Seen seen) const override { return seen == Seen::asked; }
  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    for (std::size_t j = 0; j < keys.size(); ++j) {
      if (!variant_.sees(call_, query, keys[j])) {
        scores[j] = -std::numeric_limits<float>::infinity();
      }
    }
  }

 private:
  const Restriction& variant_;
  const PlanCall& call_;
};

/// A pattern that is drawn has no pairs before it was: such a variant overrides `pairs`.
class NoTensors final : public Tensors {
 public:
  ConstView matrix(std::string_view name) const override { absent(name); }
  std::span<const std::int32_t> integers(std::string_view name) const override { absent(name); }
  std::span<std::int32_t> choices(std::string_view name) const override { absent(name); }
  View writable(std::string_view name) const override { absent(name); }

 private:
  [[noreturn]] static void absent(std::string_view name) {
    throw std::logic_error("pairs of a pattern that depends on tensor '" + std::string(name) +
                           "' must be stated by the variant");
  }
};

/// Softmax weights of one query row, naive: all keys, in double. Returns the log-sum-exp.
double row_weights(const Restriction& variant, const ReferenceCall& call, Index query,
                   double* weights) {
  const Problem& problem = call.problem;
  const PlanCall plan_call{problem, call.tensors};
  double largest = -std::numeric_limits<double>::infinity();
  for (Index j = 0; j < problem.keys; ++j) {
    weights[j] = -std::numeric_limits<double>::infinity();
    if (!problem.sees(query, j) || !variant.sees(plan_call, query, j)) continue;
    double dot = 0;
    for (Index c = 0; c < problem.dim; ++c) dot += call.q(query, c) * call.k(j, c);
    weights[j] = problem.score_scale() * dot;
    largest = std::max(largest, weights[j]);
  }
  double sum = 0;
  for (Index j = 0; j < problem.keys; ++j) {
    weights[j] = std::isinf(weights[j]) ? 0 : std::exp(weights[j] - largest);
    sum += weights[j];
  }
  if (sum == 0) return largest;
  for (Index j = 0; j < problem.keys; ++j) weights[j] /= sum;
  return largest + std::log(sum);
}

}  // namespace

double Restriction::pairs(const Problem& problem) const {
  const NoTensors none;
  const PlanCall call{problem, none};
  double total = 0;
  for (Index i = 0; i < problem.queries; ++i) {
    for (Index j = 0; j < problem.keys; ++j) total += problem.sees(i, j) && sees(call, i, j);
  }
  return total;
}

Scratch Restriction::scratch(const Problem& problem) const {
  const PlanLimits limits = plan_limits(problem);
  Scratch scratch;
  scratch.worker<KeySpan>(limits.spans).worker<std::int32_t>(limits.singles);
  scratch.worker_bytes += softmax_scratch_bytes(Tiling(*this, problem, precision_).rows,
                                                problem.dim, problem.value_dim, precision_);
  return scratch;
}

Cost Restriction::cost(const Problem& problem) const {
  const double seen = pairs(problem);
  const Index inputs = (problem.queries + problem.keys) * (problem.dim + problem.value_dim);
  return {.useful = {.multiply_adds = seen * static_cast<double>(problem.dim + problem.value_dim),
                     .exponentials = seen},
          .bytes = sizeof(float) * static_cast<double>(inputs)};
}

void Restriction::forward(const Call& call) const {
  const Problem& problem = call.problem;
  const SoftmaxOperands operands{.q = call.q,
                                 .k = call.k,
                                 .v = call.v,
                                 .out = call.out,
                                 .row_log_sum_exp = call.row_log_sum_exp,
                                 .scale = static_cast<float>(problem.score_scale()),
                                 .causal = problem.causal,
                                 .first_query = problem.first_query,
                                 .precision = precision_};
  const PlanCall plan_call{problem, call.tensors};
  const PlanLimits limits = plan_limits(problem);
  const Tiling tiling(*this, problem, precision_);
  const AskedPairs asked(*this, plan_call);
  call.run.parallel(tiling.count(), [&](Index tile, Worker& worker) {
    const Rows queries = tiling.tile(tile);
    if (queries.count == 0) return;
    KeyPlan keys(problem.keys, worker.scratch.take<KeySpan>(limits.spans),
                 worker.scratch.take<std::int32_t>(limits.singles));
    plan(plan_call, queries, keys);
    bool any_asked = false;
    for (const KeySpan& span : keys.spans()) any_asked |= span.seen == Seen::asked;
    streaming_softmax(operands, queries, keys, any_asked ? &asked : nullptr, worker);
  });
}

void Restriction::reference(const ReferenceCall& call) const {
  std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
  for (Index i = 0; i < call.problem.queries; ++i) {
    const double log_sum_exp = row_weights(*this, call, i, weights.data());
    if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
    for (Index c = 0; c < call.problem.value_dim; ++c) {
      double sum = 0;
      for (Index j = 0; j < call.problem.keys; ++j) {
        if (weights[j] != 0) sum += weights[j] * call.v(j, c);
      }
      call.out(i, c) = sum;
    }
  }
}

void Restriction::weights(const ReferenceCall& call, MatrixView<double> weights) const {
  for (Index i = 0; i < call.problem.queries; ++i) row_weights(*this, call, i, weights.row(i));
}

}  // namespace subquad
