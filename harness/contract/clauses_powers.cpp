// Clauses about optional powers: plan, stream, prepare.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "contract/clause.h"
#include "subquad/restriction.h"

namespace subquad::contract {
namespace {

/// Queries per tile that plans are asked for: alone, a few, as many as a kernel takes.
constexpr Index kTileRows[] = {1, 5, 64};
/// Longer problems say nothing new about plans and cost a pass over all pairs.
constexpr Index kMaxPlanned = 200;

std::string tile_text(const Rows& rows) {
  return fmt::format("{} queries from {} in steps of {}", rows.count, rows.begin, rows.step);
}

/// One plan, held against `sees`.
class PlanCheck {
 public:
  PlanCheck(const Restriction& variant, const PlanCall& call)
      : variant_(variant),
        call_(call),
        limits_(variant.plan_limits(call.problem)),
        spans_(static_cast<std::size_t>(limits_.spans)),
        singles_(static_cast<std::size_t>(limits_.singles)) {}

  std::optional<std::string> defect(const Rows& rows) {
    KeyPlan plan(call_.problem.keys, spans_, singles_);
    variant_.plan(call_, rows, plan);
    auto found = form_defect(plan);
    if (!found) found = coverage_defect(plan, rows);
    if (!found) return found;
    return fmt::format("plan of {}: {}", tile_text(rows), *found);
  }

 private:
  bool in_range(Index key) const { return key >= 0 && key < call_.problem.keys; }

  /// Sorted, in range, and no key twice; fills `listed_`.
  std::optional<std::string> form_defect(const KeyPlan& plan) {
    listed_.assign(static_cast<std::size_t>(call_.problem.keys), false);
    const auto list = [&](Index key) -> std::optional<std::string> {
      if (!in_range(key)) return fmt::format("key {} is out of range", key);
      if (listed_[key]) return fmt::format("key {} is there twice", key);
      listed_[key] = true;
      return std::nullopt;
    };
    Index before = -1;
    for (const KeySpan& span : plan.spans()) {
      if (span.keys.begin < before) return "spans are not sorted";
      before = span.keys.begin;
      for (Index i = 0; i < span.keys.count; ++i) {
        if (auto found = list(span.keys[i])) return found;
      }
    }
    const auto singles = plan.singles();
    if (!std::is_sorted(singles.begin(), singles.end())) return "single keys are not sorted";
    for (const std::int32_t key : singles) {
      if (auto found = list(key)) return found;
    }
    return std::nullopt;
  }

  std::optional<std::string> coverage_defect(const KeyPlan& plan, const Rows& rows) {
    const Problem& problem = call_.problem;
    std::vector<bool> planned(listed_.size());
    for (Index r = 0; r < rows.count; ++r) {
      const Index query = rows[r];
      planned.assign(planned.size(), false);
      for (const KeySpan& span : plan.spans()) {
        for (Index i = 0; i < span.keys.count; ++i) {
          planned[span.keys[i]] = seen_in(span, query, span.keys[i]);
        }
      }
      for (const std::int32_t key : plan.singles()) planned[key] = true;
      for (Index key = 0; key < problem.keys; ++key) {
        if (!problem.sees(query, key)) continue;  // left to the kernel
        const bool sees = variant_.sees(call_, query, key);
        if (sees == planned[key]) continue;
        return fmt::format("query {} {} key {}, the plan says otherwise", query,
                           sees ? "sees" : "does not see", key);
      }
    }
    return std::nullopt;
  }

  bool seen_in(const KeySpan& span, Index query, Index key) const {
    switch (span.seen) {
      case Seen::all:
        return true;
      case Seen::band: {
        const Index distance = key - call_.problem.position(query);
        return -span.below <= distance && distance <= span.above;
      }
      case Seen::asked:
        return variant_.sees(call_, query, key);
    }
    return false;
  }

  const Restriction& variant_;
  const PlanCall& call_;
  PlanLimits limits_;
  std::vector<KeySpan> spans_;
  std::vector<std::int32_t> singles_;
  std::vector<bool> listed_;
};

/// Largest work that a tile may span, as `Restriction::query_tile` and `query_step` cut it.
std::optional<std::string> plans_defect(const Restriction& variant, const PlanCall& call,
                                        Index tile_rows) {
  const Problem& problem = call.problem;
  const Index declared = variant.query_tile(problem);
  const Index block = declared > 0 ? declared : problem.queries;
  const Index step = std::min(variant.query_step(problem), block);
  if (step < 1) return fmt::format("query_step is {}", step);
  PlanCheck check(variant, call);
  for (Index first = 0; first < problem.queries; first += block) {
    const Index end = std::min(first + block, problem.queries);
    for (Index residue = 0; residue < step; ++residue) {
      for (Index begin = first + residue; begin < end; begin += tile_rows * step) {
        const Rows rows{begin, std::min(tile_rows, (end - begin + step - 1) / step), step};
        if (auto found = check.defect(rows)) return found;
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Verdict plan(const Trial& trial) {
  if (!trial.registration->powers.plan) return Verdict::skipped("gives no plan");
  if (std::max(trial.problem.queries, trial.problem.keys) > kMaxPlanned) {
    return Verdict::skipped("a long problem");
  }
  const Bench bench(trial);
  const auto& variant = static_cast<const Restriction&>(*bench.variant);
  for (const Index rows : kTileRows) {
    if (auto found = plans_defect(variant, {trial.problem, bench.tensors}, rows)) {
      return Verdict::broken(*found);
    }
  }
  return Verdict::kept();
}

Verdict stream(const Trial& trial) {
  if (!trial.registration->powers.stream) return Verdict::skipped("does not stream");
  const Problem& problem = trial.problem;
  if (!problem.causal || !problem.self_attention()) {
    return Verdict::skipped("streams are for causal self attention");
  }
  const Bench bench(trial);
  const Result whole = bench.run();
  const std::unique_ptr<Stream> stream = bench.variant->stream(problem, bench.tensors);
  GuardedMatrix out(problem.queries, problem.value_dim, 1);
  for (Index i = 0; i < problem.queries; ++i) {
    stream->step(bench.inputs.q.data() + i * problem.dim, bench.inputs.k.data() + i * problem.dim,
                 bench.inputs.v.data() + i * problem.value_dim, out.view().row(i));
  }
  if (!out.intact()) return Verdict::broken("a step writes more than one row");
  if (stream->state_bytes() == 0) return Verdict::broken("the state is said to hold no bytes");
  const double tolerance = tolerance_of(*bench.variant, problem, bench.inputs);
  const std::vector<double> want(whole.out.begin(), whole.out.end());
  const auto found = differs(out.values(), want, problem.value_dim, tolerance);
  return Verdict::unless(found ? std::optional("token by token against the whole: " + *found)
                               : std::nullopt);
}

Verdict prepare(const Trial& trial) {
  if (!trial.registration->powers.prepare) return Verdict::skipped("prepares nothing");
  const Bench bench(trial);
  const Result plain = bench.run();
  const Result prepared = bench.run({.prepare = true});
  if (plain.written_outside.empty() && !prepared.written_outside.empty()) {
    return Verdict::broken("writes where it may not: " + prepared.written_outside);
  }
  const auto found = bits_differ(prepared, plain, trial.problem);
  return Verdict::unless(found ? std::optional("with prepared keys: " + *found) : std::nullopt);
}

}  // namespace subquad::contract
