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
  return rows.listed != nullptr
             ? fmt::format("{} listed queries from {}", rows.count, rows.begin)
             : fmt::format("{} queries from {} in steps of {}", rows.count, rows.begin, rows.step);
}

/// All plans of a problem, held against `sees`: every pair that is seen is planned once.
class PlanCheck {
 public:
  PlanCheck(const Restriction& variant, const PlanCall& call)
      : variant_(variant),
        call_(call),
        limits_(variant.plan_limits(call.problem)),
        spans_(static_cast<std::size_t>(limits_.spans)),
        singles_(static_cast<std::size_t>(limits_.singles)),
        spare_(limits_.spare_bytes),
        planned_(static_cast<std::size_t>(call.problem.queries * call.problem.keys)) {}

  /// With tiles of so many rows.
  std::optional<std::string> defect(Index tile_rows) {
    std::fill(planned_.begin(), planned_.end(), 0);
    for (Index number = 0; number < variant_.passes(call_.problem); ++number) {
      if (auto found = pass_defect({call_.problem, call_.tensors, number}, tile_rows)) return found;
    }
    if (auto found = coverage_defect()) return found;
    return membership_defect();
  }

 private:
  /// Plans all tiles of a pass, cut as `Restriction::pass` says.
  std::optional<std::string> pass_defect(const PlanCall& call, Index tile_rows) {
    const Problem& problem = call.problem;
    const QueryPass cut = variant_.pass(problem, call.pass);
    if (cut.step < 1) return fmt::format("pass {} has step {}", call.pass, cut.step);
    Index rows = problem.queries;
    std::vector<std::int32_t> list(static_cast<std::size_t>(std::max<Index>(0, cut.listed)));
    if (cut.listed > 0) {
      if (call.pass == 0) return "the first pass does not go over all rows";
      rows = variant_.list_rows(call, list);
      if (auto found = list_defect(list, rows)) return found;
    }
    const Index block = cut.block > 0 ? cut.block : std::max<Index>(1, rows);
    const Index step = std::min(cut.step, block);
    for (Index first = 0; first < rows; first += block) {
      const Index end = std::min(first + block, rows);
      for (Index residue = 0; residue < step; ++residue) {
        for (Index begin = first + residue; begin < end; begin += tile_rows * step) {
          Rows tile{begin, std::min(tile_rows, (end - begin + step - 1) / step), step};
          if (cut.listed > 0) {
            tile = Rows::of({list.data() + begin, static_cast<std::size_t>(tile.count)});
          }
          if (auto found = tile_defect(call, tile)) {
            return fmt::format("plan of {}: {}", tile_text(tile), *found);
          }
        }
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> list_defect(const std::vector<std::int32_t>& list, Index rows) const {
    if (rows < 0 || rows > static_cast<Index>(list.size())) {
      return fmt::format("{} rows are listed, at most {} were declared", rows, list.size());
    }
    for (Index i = 0; i < rows; ++i) {
      if (list[i] < 0 || list[i] >= call_.problem.queries) {
        return fmt::format("row {} is listed and out of range", list[i]);
      }
      if (i > 0 && list[i] <= list[i - 1]) return "listed rows do not ascend";
    }
    return std::nullopt;
  }

  /// Sorted and in range; counts pairs in `planned_`.
  std::optional<std::string> tile_defect(const PlanCall& call, const Rows& rows) {
    Arena spare(spare_.data(), spare_.size());
    KeyPlan plan(call.problem.keys, spans_, singles_, &spare);
    variant_.plan(call, rows, plan);
    Index before = -1;
    for (const KeySpan& span : plan.spans()) {
      if (span.keys.begin < before) return "spans are not sorted";
      before = span.keys.begin;
      if (span.keys.begin < 0 || span.keys.last() >= call.problem.keys) {
        return fmt::format("a span ends at key {}, out of range", span.keys.last());
      }
    }
    const auto singles = plan.singles();
    for (std::size_t i = 0; i < singles.size(); ++i) {
      if (singles[i] < 0 || singles[i] >= call.problem.keys) {
        return fmt::format("key {} is out of range", singles[i]);
      }
      if (i > 0 && singles[i] <= singles[i - 1]) {
        return fmt::format("single keys are not sorted: {} after {}", singles[i], singles[i - 1]);
      }
    }
    for (Index r = 0; r < rows.count; ++r) {
      for (const KeySpan& span : plan.spans()) {
        for (Index i = 0; i < span.keys.count; ++i) {
          if (seen_in(call, span, rows[r], span.keys[i])) ++planned(rows[r], span.keys[i]);
        }
      }
      for (const std::int32_t key : singles) ++planned(rows[r], key);
    }
    return std::nullopt;
  }

  std::optional<std::string> coverage_defect() {
    const Problem& problem = call_.problem;
    for (Index query = 0; query < problem.queries; ++query) {
      for (Index key = 0; key < problem.keys; ++key) {
        if (!problem.sees(query, key)) continue;  // left to the kernel
        const int times = planned(query, key);
        const bool sees = variant_.sees(call_, query, key);
        if (times == static_cast<int>(sees)) continue;
        return fmt::format("query {} {} key {}, and plans hold that pair {} times", query,
                           sees ? "sees" : "does not see", key, times);
      }
    }
    return std::nullopt;
  }

  /// `belongs` says the same of every pass.
  std::optional<std::string> membership_defect() const {
    const Problem& problem = call_.problem;
    for (Index query = 0; query < problem.queries; ++query) {
      for (Index key = 0; key < problem.keys; ++key) {
        if (!problem.sees(query, key)) continue;
        int times = 0;
        for (Index number = 0; number < variant_.passes(problem); ++number) {
          times += variant_.belongs({problem, call_.tensors, number}, query, key);
        }
        const bool sees = variant_.sees(call_, query, key);
        if (times == static_cast<int>(sees)) continue;
        return fmt::format("query {} {} key {}, and that pair belongs to {} passes", query,
                           sees ? "sees" : "does not see", key, times);
      }
    }
    return std::nullopt;
  }

  int& planned(Index query, Index key) {
    return planned_[static_cast<std::size_t>(query * call_.problem.keys + key)];
  }

  bool seen_in(const PlanCall& call, const KeySpan& span, Index query, Index key) const {
    const Index distance = key - call.problem.position(query);
    const bool in_band = -span.below <= distance && distance <= span.above;
    switch (span.seen) {
      case Seen::all:
        return true;
      case Seen::band:
        return in_band;
      case Seen::outside:
        return !in_band;
      case Seen::asked:
        return variant_.belongs(call, query, key);
    }
    return false;
  }

  const Restriction& variant_;
  const PlanCall& call_;
  PlanLimits limits_;
  std::vector<KeySpan> spans_;
  std::vector<std::int32_t> singles_;
  std::vector<std::byte> spare_;
  std::vector<int> planned_;  ///< [queries, keys]: in how many spans and lists of single keys
};

/// Token by token against the causal forward pass.
class StreamCheck {
 public:
  explicit StreamCheck(const Bench& bench)
      : bench_(bench),
        problem_(bench.problem),
        whole_(bench.run()),
        tolerance_(tolerance_of(*bench.variant, problem_, bench.inputs)),
        out_(problem_.queries, problem_.value_dim, 1) {}

  std::optional<std::string> defect() {
    const auto stream = start();
    for (Index i = 0; i < problem_.queries; ++i) ask(*stream, i);
    if (!out_.intact()) return "a step writes more than one row";
    if (stream->state_bytes() == 0) return "the state is said to hold no bytes";
    if (auto found = off(0)) return "token by token against the whole: " + *found;

    // A prompt that nothing is asked of; then copies go on, each by itself.
    const Index prompt = problem_.queries / 2;
    const auto original = start();
    for (Index i = 0; i < prompt; ++i) original->step(token(i, {}, {}));
    const auto copy = original->clone();
    out_.fill(0);
    for (Index i = prompt; i < problem_.queries; ++i) ask(*copy, i);
    if (auto found = off(prompt)) return "after a prompt, by a copy: " + *found;
    return defect_of_two_queries(*original->clone(), prompt);
  }

 private:
  /// Of tokens from `first` on, with each of which two queries ask.
  std::optional<std::string> defect_of_two_queries(Stream& stream, Index first) {
    GuardedMatrix queries(2, problem_.dim), answers(2, problem_.value_dim, 1);
    GuardedMatrix second(problem_.queries, problem_.value_dim);
    out_.fill(0);
    for (Index i = first; i < problem_.queries; ++i) {
      for (const Index row : {0, 1}) {
        std::copy_n(query(i).data, problem_.dim, queries.view().row(row));
      }
      stream.step(token(i, queries.view(), answers.view()));
      std::copy_n(answers.view().row(0), problem_.value_dim, second.view().row(i));
      std::copy_n(answers.view().row(1), problem_.value_dim, out_.view().row(i));
    }
    if (!answers.intact()) return "a step writes beside the rows of its queries";
    if (auto found = off(first)) return "the second query at a position: " + *found;
    out_.assign(second.values());
    if (auto found = off(first)) return "the first of two queries at a position: " + *found;
    return std::nullopt;
  }

  std::unique_ptr<Stream> start() const { return bench_.variant->stream(problem_, bench_.tensors); }

  ConstView query(Index i) const {
    return {bench_.inputs.q.data() + i * problem_.dim, 1, problem_.dim};
  }
  Token token(Index i, ConstView queries, View out) const {
    const ConstView x(bench_.inputs.x.data() + i * problem_.value_dim, 1, problem_.value_dim);
    return {.queries = queries,
            .key = bench_.inputs.k.data() + i * problem_.dim,
            .value = bench_.inputs.v.data() + i * problem_.value_dim,
            .x = bench_.variant->consumes().x ? x : ConstView(),
            .out = out};
  }
  void ask(Stream& stream, Index i) {
    stream.step(token(i, query(i), out_.view().row_range(i, 1)));
  }

  /// Where rows from `first` on are not those of the whole.
  std::optional<std::string> off(Index first) const {
    std::vector<float> got = out_.values();
    std::copy_n(whole_.out.begin(), first * problem_.value_dim, got.begin());
    const std::vector<double> want(whole_.out.begin(), whole_.out.end());
    return differs(got, want, problem_.value_dim, tolerance_);
  }

  const Bench& bench_;
  const Problem& problem_;
  const Result whole_;
  double tolerance_;
  GuardedMatrix out_;
};

}  // namespace

Verdict plan(const Trial& trial) {
  if (!trial.registration->powers.plan) return Verdict::skipped("gives no plan");
  if (std::max(trial.problem.queries, trial.problem.keys) > kMaxPlanned) {
    return Verdict::skipped("a long problem");
  }
  const Bench bench(trial);
  bench.run();  // for the choices
  const auto& variant = static_cast<const Restriction&>(*bench.variant);
  const PlanCall call{trial.problem, bench.tensors};
  PlanCheck check(variant, call);
  for (const Index rows : kTileRows) {
    if (auto found = check.defect(rows)) return Verdict::broken(*found);
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
  if (!bench.variant->refuses_stream(problem).empty()) {
    return Verdict::skipped("does not stream with these parameters");
  }
  return Verdict::unless(StreamCheck(bench).defect());
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
