// What Restriction derives from `sees` and `plan`.

#include "subquad/restriction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/naive-inl.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

/// How the query rows of a pass are cut into tiles: by blocks first, in a block by residue modulo
/// the step, and then into as few pieces as are needed.
struct Tiling {
  Index queries;
  Index block;     ///< rows that no tile may straddle a multiple of
  Index step;      ///< distance of the rows of a tile
  Index residues;  ///< modulo the step, that a block has
  Index rows;      ///< of a tile, at the most
  Index pieces;    ///< tiles per block and residue

  Tiling(const QueryPass& pass, const Problem& problem, Precision precision)
      : queries(pass.listed > 0 ? pass.listed : problem.queries),
        block(pass.block),
        step(pass.step) {
    const Index all = std::max<Index>(1, queries);
    block = block <= 0 ? all : std::min(block, all);
    residues = std::min(step, block);
    const Index of_residue = (block + step - 1) / step;
    rows = std::min(softmax_tile_rows(problem.dim, problem.value_dim, precision), of_residue);
    pieces = (of_residue + rows - 1) / rows;
  }

  Index count() const { return (queries + block - 1) / block * residues * pieces; }

  /// Rows of a tile, or places in the list of rows; none for the empty ones at the end of a block.
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
      if (!variant_.belongs(call_, query, keys[j])) {
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

/// Rows of a tile of a pass; none for the empty ones at the end of a block.
Rows tile_rows(const Tiling& tiling, Index tile, const QueryPass& cut,
               std::span<const std::int32_t> list) {
  const Rows rows = tiling.tile(tile);
  if (cut.listed == 0 || rows.count == 0) return rows;
  return Rows::of(
      list.subspan(static_cast<std::size_t>(rows.begin), static_cast<std::size_t>(rows.count)));
}

/// How many rows are at most `limit`.
double rows_up_to(const Rows& rows, Index limit) {
  if (limit < rows.begin) return 0;
  return static_cast<double>(std::min(rows.count, (limit - rows.begin) / rows.step + 1));
}

/// Keys of a plan that a query sees.
double planned_pairs(const Restriction& variant, const PlanCall& call, const KeyPlan& plan,
                     Index query) {
  const Index position = call.problem.position(query);
  const Index last = call.problem.causal ? position : call.problem.keys;
  double total = 0;
  for (const KeySpan& span : plan.spans()) {
    const double all = rows_up_to(span.keys, last);
    const double band =
        std::max(0.0, rows_up_to(span.keys, std::min(last, position + span.above)) -
                          rows_up_to(span.keys, std::min(last, position - span.below - 1)));
    switch (span.seen) {
      case Seen::all:
        total += all;
        break;
      case Seen::band:
        total += band;
        break;
      case Seen::outside:
        total += all - band;
        break;
      case Seen::asked:
        for (Index j = 0; j < static_cast<Index>(all); ++j) {
          total += variant.belongs(call, query, span.keys[j]);
        }
        break;
    }
  }
  const auto singles = plan.singles();
  return total + static_cast<double>(std::upper_bound(singles.begin(), singles.end(), last) -
                                     singles.begin());
}

/// Softmax weights of one query row, naive: all keys, in double. Returns the log-sum-exp.
double row_weights(const Restriction& variant, const ReferenceCall& call, Index query,
                   double* weights) {
  const Problem& problem = call.problem;
  const PlanCall plan_call{problem, call.tensors};
  for (Index j = 0; j < problem.keys; ++j) {
    const bool seen = problem.sees(query, j) && variant.sees(plan_call, query, j);
    weights[j] = seen ? naive_score(call, query, j) : -std::numeric_limits<double>::infinity();
  }
  return naive_softmax({weights, static_cast<std::size_t>(problem.keys)});
}

}  // namespace

double Restriction::pairs(const Problem& problem) const {
  const NoTensors none;
  const PlanLimits limits = plan_limits(problem);
  std::vector<KeySpan> spans(static_cast<std::size_t>(limits.spans));
  std::vector<std::int32_t> singles(static_cast<std::size_t>(limits.singles));
  std::vector<std::byte> spare_memory(limits.spare_bytes);
  double total = 0;
  for (Index number = 0; number < passes(problem); ++number) {
    const PlanCall call{problem, none, number};
    QueryPass cut = pass(problem, number);
    std::vector<std::int32_t> list(static_cast<std::size_t>(cut.listed));
    if (cut.listed > 0) {
      cut.listed = list_rows(call, list);
      if (cut.listed == 0) continue;
    }
    const Tiling tiling(cut, problem, precision_);
    for (Index tile = 0; tile < tiling.count(); ++tile) {
      const Rows queries = tile_rows(tiling, tile, cut, list);
      if (queries.count == 0) continue;
      Arena spare(spare_memory.data(), spare_memory.size());
      KeyPlan keys(problem.keys, spans, singles, &spare);
      plan(call, queries, keys);
      for (Index i = 0; i < queries.count; ++i)
        total += planned_pairs(*this, call, keys, queries[i]);
    }
  }
  return total;
}

Index Restriction::list_rows(const PlanCall&, std::span<std::int32_t>) const {
  throw std::logic_error("a pass over listed rows, and no list of them");
}

Scratch Restriction::scratch(const Problem& problem) const {
  const PlanLimits limits = plan_limits(problem);
  Scratch scratch;
  Index most_listed = 0;
  std::size_t softmax_bytes = 0;
  for (Index number = 0; number < passes(problem); ++number) {
    const QueryPass one = pass(problem, number);
    most_listed = std::max(most_listed, one.listed);
    softmax_bytes =
        std::max(softmax_bytes, softmax_scratch_bytes(Tiling(one, problem, precision_).rows,
                                                      problem.dim, problem.value_dim, precision_));
  }
  scratch.worker<KeySpan>(limits.spans).worker<std::int32_t>(limits.singles);
  // Spare memory is free again when the softmax begins.
  scratch.worker_bytes += std::max(limits.spare_bytes, softmax_bytes);
  if (most_listed > 0) scratch.shared<std::int32_t>(most_listed);
  if (passes(problem) > 1) scratch.shared<float>(problem.queries);
  return scratch;
}

Cost Restriction::cost(const Problem& problem) const {
  return softmax_cost(problem, pairs(problem));
}

void Restriction::forward(const Call& call) const {
  const Problem& problem = call.problem;
  SoftmaxOperands operands{.q = call.q,
                           .k = call.k,
                           .v = call.v,
                           .out = call.out,
                           .row_log_sum_exp = call.row_log_sum_exp,
                           .scale = static_cast<float>(problem.score_scale()),
                           .causal = problem.causal,
                           .first_query = problem.first_query,
                           .precision = precision_};
  const Index all_passes = passes(problem);
  Index most_listed = 0;
  for (Index number = 0; number < all_passes; ++number) {
    most_listed = std::max(most_listed, pass(problem, number).listed);
  }
  std::span<std::int32_t> list;
  if (most_listed > 0) list = call.run.shared().take<std::int32_t>(most_listed);
  if (all_passes > 1) {
    float* const own = call.run.shared().take<float>(problem.queries).data();
    if (operands.row_log_sum_exp == nullptr) operands.row_log_sum_exp = own;
  }
  for (Index number = 0; number < all_passes; ++number) {
    operands.merge = number > 0;
    forward_pass({problem, call.tensors, number}, operands, list, call.run);
  }
}

/// Runs one pass; `list` is memory for the rows that it lists.
void Restriction::forward_pass(const PlanCall& call, const SoftmaxOperands& operands,
                               std::span<std::int32_t> list, Run& run) const {
  const Problem& problem = call.problem;
  const PlanLimits limits = plan_limits(problem);
  QueryPass cut = pass(problem, call.pass);
  if (cut.listed > 0) {
    cut.listed = list_rows(call, list.first(static_cast<std::size_t>(cut.listed)));
    if (cut.listed == 0) return;
  }
  const Tiling tiling(cut, problem, precision_);
  const AskedPairs asked(*this, call);
  run.parallel(tiling.count(), [&](Index tile, Worker& worker) {
    const Rows queries = tile_rows(tiling, tile, cut, list);
    if (queries.count == 0) return;
    const std::span<KeySpan> spans = worker.scratch.take<KeySpan>(limits.spans);
    const std::span<std::int32_t> singles = worker.scratch.take<std::int32_t>(limits.singles);
    KeyPlan keys(problem.keys, spans, singles, &worker.scratch);
    const std::size_t mark = worker.scratch.used();
    plan(call, queries, keys);
    worker.scratch.rewind(mark);
    bool any_asked = false;
    for (const KeySpan& span : keys.spans()) any_asked |= span.seen == Seen::asked;
    streaming_softmax(operands, queries, keys, any_asked ? &asked : nullptr, worker);
  });
}

void Restriction::reference(const ReferenceCall& call) const {
  naive_outputs(call, [&](Index i, double* weights) {
    const double log_sum_exp = row_weights(*this, call, i, weights);
    if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
  });
}

void Restriction::weights(const ReferenceCall& call, MatrixView<double> weights) const {
  for (Index i = 0; i < call.problem.queries; ++i) row_weights(*this, call, i, weights.row(i));
}

}  // namespace subquad
