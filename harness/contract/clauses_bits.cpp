// Clauses about what must not change the bits of an output.

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "contract/clause.h"

namespace subquad::contract {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
/// Huge, but products of two of them, summed over a head, stay finite.
constexpr float kHuge = 1e17f;

/// What is done to later tokens.
struct Change {
  bool values_only;       ///< to V alone, not to Q, K and x
  bool if_choices_agree;  ///< says something only where the choices come out the same
  float (*of)(float);
  const char* text;
};
constexpr Change kPoisons[] = {
    {false, false, [](float) { return kNan; }, "NaN"},
    {false, false, [](float) { return kHuge; }, "1e17"},
};
/// For methods that decide from the data which keys a query sees: later tokens may have a say in
/// that (they move others in a sort), but their values may not, nor anything else of theirs where
/// the decisions come out the same.
constexpr Change kDecidedOtherwise[] = {
    {true, false, [](float) { return kNan; }, "NaN in V"},
    {true, false, [](float) { return kHuge; }, "1e17 in V"},
    {false, true, [](float value) { return value * (1 + 0x1p-10f); }, "a thousandth more"},
};

void change_rows(std::vector<float>& rows, Index cols, Index first, const Change& change) {
  for (auto i = static_cast<std::size_t>(first * cols); i < rows.size(); ++i) {
    rows[i] = change.of(rows[i]);
  }
}

/// How outputs of queries before position `cut` depend on tokens from `cut` on.
std::optional<std::string> sees_beyond(const Trial& trial, const Result& clean, Index cut,
                                       const Change& change) {
  const Problem& problem = trial.problem;
  Bench bench(trial);
  const Index first_later_query = std::clamp<Index>(cut - problem.first_query, 0, problem.queries);
  change_rows(bench.inputs.v, problem.value_dim, cut, change);
  if (!change.values_only) {
    change_rows(bench.inputs.k, problem.dim, cut, change);
    change_rows(bench.inputs.q, problem.dim, first_later_query, change);
    change_rows(bench.inputs.x, problem.value_dim, first_later_query, change);
  }
  const Result changed = bench.run();
  if (change.if_choices_agree && changed.choices != clean.choices) return std::nullopt;
  const auto earlier = static_cast<std::size_t>(first_later_query);
  auto found = bits_differ(changed.out, clean.out, problem.value_dim,
                           earlier * static_cast<std::size_t>(problem.value_dim));
  if (!found && !clean.log_sum_exp.empty()) {
    found = bits_differ(changed.log_sum_exp, clean.log_sum_exp, 1, earlier);
  }
  if (!found) return found;
  return fmt::format("with {} in every token from position {} on, {}", change.text, cut, *found);
}

std::optional<std::string> sees_future(const Trial& trial, const Result& clean,
                                       std::span<const Change> changes) {
  const Problem& problem = trial.problem;
  const Index last = std::min(problem.keys, problem.first_query + problem.queries);
  const Index middle = problem.first_query + (last - problem.first_query) / 2;
  for (const Index cut : {problem.first_query + 1, middle, last - 1}) {
    for (const Change& change : changes) {
      if (auto found = sees_beyond(trial, clean, cut, change)) return found;
    }
  }
  return std::nullopt;
}

}  // namespace

Verdict same_bits(const Trial& trial) {
  const Bench bench(trial);
  const Result first = bench.run();
  if (auto found = bits_differ(bench.run(), first, trial.problem)) {
    return Verdict::broken("second call: " + *found);
  }
  const Bench other(trial);
  const auto found = bits_differ(other.run(), first, trial.problem);
  return Verdict::unless(found ? std::optional("another object: " + *found) : std::nullopt);
}

Verdict threads(const Trial& trial) {
  const Bench bench(trial);
  const Result alone = bench.run();
  const auto compare = [&](const Conditions& conditions,
                           const std::string& what) -> std::optional<std::string> {
    const Result result = bench.run(conditions);
    if (auto found = bits_differ(result, alone, trial.problem)) return what + ": " + *found;
    if (!(result.executed == alone.executed)) return what + ": other work was executed";
    return std::nullopt;
  };
  if (auto found = compare({.order = TileOrder::descending}, "tiles from last to first")) {
    return Verdict::broken(*found);
  }
  if (trial.group == Group::odd || trial.group == Group::large) {
    for (const int count : {2, 3}) {
      if (auto found = compare({.threads = count}, fmt::format("{} threads", count))) {
        return Verdict::broken(*found);
      }
    }
  }
  return Verdict::unless(compare({.order = TileOrder::shuffled}, "tiles shuffled"));
}

Verdict other_calls(const Trial& trial) {
  const Result mine = Bench(trial).run();
  const Result its = Bench(trial, trial.seed + 1, 4).run();
  // One object for all, as heads and sequences of a layer share it: whatever it keeps shows.
  const Bench bench(trial);
  const Bench mate(trial, trial.seed + 1, 4);
  const Variant& shared = *bench.variant;
  mate.run_on(shared);
  if (auto found = bits_differ(bench.run_on(shared), mine, trial.problem)) {
    return Verdict::broken("after a call on other inputs and tensors, " + *found);
  }
  if (trial.group != Group::odd && trial.group != Group::large) return Verdict::kept();
  Result beside;
  std::thread other([&] { beside = mate.run_on(shared); });
  const Result together = bench.run_on(shared);
  other.join();
  auto found = bits_differ(together, mine, trial.problem);
  if (!found) found = bits_differ(beside, its, trial.problem);
  return Verdict::unless(found ? std::optional("beside a call on other inputs, " + *found)
                               : std::nullopt);
}

Verdict future_keys(const Trial& trial) {
  const Problem& problem = trial.problem;
  if (!problem.causal) return Verdict::skipped("not causal");
  const Index last = std::min(problem.keys, problem.first_query + problem.queries);
  if (last - problem.first_query < 2) return Verdict::skipped("no query has a future");
  const Result clean = Bench(trial).run();
  auto found = sees_future(trial, clean, kPoisons);
  if (!found || clean.choices.empty()) return Verdict::unless(found);
  if (auto value = sees_future(trial, clean, kDecidedOtherwise)) return Verdict::broken(*value);
  return Verdict::kept("later tokens have a say in which keys earlier queries see");
}

Verdict undefined_scratch(const Trial& trial) {
  const Bench bench(trial);
  const Result zeros = bench.run();
  for (const std::uint8_t fill : {0xff, 0x4b}) {  // not-a-numbers and -1; some 1.3e7
    if (auto found = bits_differ(bench.run({.scratch_fill = fill}), zeros, trial.problem)) {
      return Verdict::broken(fmt::format("scratch full of bytes {:#x}: {}", fill, *found));
    }
  }
  return Verdict::kept();
}

Verdict writes_everything(const Trial& trial) {
  const Bench bench(trial);
  const Result clean = bench.run();
  const Result poisoned = bench.run({.output_fill = kNan});
  const auto found = bits_differ(poisoned, clean, trial.problem);
  return Verdict::unless(found ? std::optional("outputs full of NaN beforehand: " + *found)
                               : std::nullopt);
}

}  // namespace subquad::contract
