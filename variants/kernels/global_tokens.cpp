#include "kernels/global_tokens.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/draw-inl.h"

namespace subquad {

void GlobalTokens::parameters(Parameters& visit) {
  visit("tokens", tokens_, between(0, 1e9), "global tokens; no more than there are keys");
  visit("placement", placement_, {"first", "even", "given"},
        "where they are: at the front, evenly spaced, or as tensor 'positions' says");
}

Index GlobalTokens::count(const Problem& problem) const { return std::min(tokens_, problem.keys); }

bool GlobalTokens::given(const Problem& problem) const {
  return placement_ == Placement::given && count(problem) > 0;
}

void GlobalTokens::tensors(const Problem& problem, TensorVisitor& visit) const {
  if (!given(problem)) return;
  const auto fill = [keys = problem.keys](Generator& random, const Shape&,
                                          std::span<std::int32_t> positions) {
    draw_ascending(random, keys, positions);
  };
  visit.integer(
      "positions", {{"tokens", count(problem)}},
      init::custom("drawn without replacement, ascending",
                   std::function<void(Generator&, const Shape&, std::span<std::int32_t>)>(fill)),
      Role::random, Sharing::model, "positions of the global tokens");
}

Index GlobalTokens::position(const PlanCall& call, Index number) const {
  switch (placement_) {
    case Placement::first:
      break;
    case Placement::even:
      return number * call.problem.keys / count(call.problem);
    case Placement::given:
      return call.tensors.integers("positions")[static_cast<std::size_t>(number)];
  }
  return number;
}

Index GlobalTokens::first_from(const PlanCall& call, Index position) const {
  Index low = 0, high = count(call.problem);
  while (low < high) {
    const Index middle = (low + high) / 2;
    if (this->position(call, middle) < position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool GlobalTokens::contains(const PlanCall& call, Index position) const {
  const Index number = first_from(call, position);
  return number < count(call.problem) && this->position(call, number) == position;
}

void GlobalTokens::check(const PlanCall& call) const {
  if (!given(call.problem)) return;
  std::int32_t before = -1;
  for (const std::int32_t position : call.tensors.integers("positions")) {
    if (position <= before || position >= call.problem.keys) {
      throw Error("tensor 'positions' of global tokens holds " + std::to_string(position) +
                  " after " + std::to_string(before) + "; positions must ascend and lie in [0, " +
                  std::to_string(call.problem.keys) + ")");
    }
    before = position;
  }
}

void WindowWithGlobalTokens::tensors(const Problem& problem, TensorVisitor& visit) const {
  globals_.tensors(problem, visit);
}

bool WindowWithGlobalTokens::in_window(const PlanCall& call, Index query, Index key) const {
  const auto [reach, dilation] = window();
  const Index distance = std::abs(key - call.problem.position(query));
  return distance % dilation == 0 && distance / dilation <= reach;
}

bool WindowWithGlobalTokens::sees(const PlanCall& call, Index query, Index key) const {
  return in_window(call, query, key) || globals_.contains(call, key) ||
         globals_.contains(call, call.problem.position(query));
}

bool WindowWithGlobalTokens::belongs(const PlanCall& call, Index query, Index key) const {
  const bool first = in_window(call, query, key) || globals_.contains(call, key);
  if (call.pass == 0) return first;
  return !first && globals_.contains(call, call.problem.position(query));
}

Index WindowWithGlobalTokens::passes(const Problem& problem) const {
  return globals_.count(problem) > 0 ? 2 : 1;
}

QueryPass WindowWithGlobalTokens::pass(const Problem& problem, Index number) const {
  if (number == 0) return {.step = window().dilation};
  return {.listed = std::min(globals_.count(problem), problem.queries)};
}

Index WindowWithGlobalTokens::list_rows(const PlanCall& call, std::span<std::int32_t> rows) const {
  globals_.check(call);
  const Index first = call.problem.first_query;
  Index listed = 0;
  for (Index g = globals_.first_from(call, first); g < globals_.count(call.problem); ++g) {
    const Index row = globals_.position(call, g) - first;
    if (row >= call.problem.queries) break;
    rows[static_cast<std::size_t>(listed++)] = static_cast<std::int32_t>(row);
  }
  return listed;
}

PlanLimits WindowWithGlobalTokens::plan_limits(const Problem& problem) const {
  const Index count = globals_.count(problem);
  // Keys are cut at each global token and, where a window is asked about, at its two ends.
  return {.spans = 1 + count + (window().dilation > 1 ? 2 * std::min(count, problem.queries) : 0),
          .singles = count};
}

void WindowWithGlobalTokens::plan(const PlanCall& call, Rows queries, KeyPlan& keys) const {
  globals_.check(call);
  if (call.pass == 0) {
    plan_windows(call, queries, keys);
  } else {
    plan_global_rows(call, queries, keys);
  }
}

void WindowWithGlobalTokens::plan_windows(const PlanCall& call, Rows queries, KeyPlan& keys) const {
  const auto [reach, dilation] = window();
  const Index side = reach * dilation;
  Index begin = call.problem.position(queries.begin) - side;
  const Index end = call.problem.position(queries.last()) + side + 1;
  const Index count = globals_.count(call.problem);
  for (Index g = globals_.first_from(call, begin); g < count; ++g) {
    const Index global = globals_.position(call, g);
    if (global >= end) break;
    if ((global - begin) % dilation != 0) continue;
    keys.band(begin, global, dilation, side, side);
    begin = global + dilation;
  }
  keys.band(begin, end, dilation, side, side);
  for (Index g = 0; g < count; ++g) {
    const auto global = static_cast<std::int32_t>(globals_.position(call, g));
    keys.single({&global, 1});
  }
}

void WindowWithGlobalTokens::plan_global_rows(const PlanCall& call, Rows queries,
                                              KeyPlan& keys) const {
  const auto [reach, dilation] = window();
  const Index side = reach * dilation, count = globals_.count(call.problem);
  for (Index g = 0, begin = 0; g <= count; ++g) {
    const Index end = g < count ? globals_.position(call, g) : call.problem.keys;
    if (dilation == 1) {
      keys.outside(begin, end, 1, side, side);
    } else {
      // Rows of a tile leave different remainders, so their windows are no common band.
      for (Index i = 0; i < queries.count; ++i) {
        const Index position = call.problem.position(queries[i]);
        const Index low = std::clamp(position - side, begin, end);
        const Index high = std::clamp(position + side + 1, begin, end);
        keys.all(begin, low);
        keys.asked(low, high);
        begin = high;
      }
      keys.all(begin, end);
    }
    begin = end + 1;
  }
}

double WindowWithGlobalTokens::pairs(const Problem& problem) const {
  if (!globals_.given(problem)) return Restriction::pairs(problem);
  const auto [reach, dilation] = window();
  const Index count = globals_.count(problem);
  const double most = static_cast<double>((problem.causal ? reach : 2 * reach) + 1 + count);
  std::vector<double> missed;  // by a row's window and the global keys: what global rows add
  double total = 0;
  for (Index i = 0; i < problem.queries; ++i) {
    const Index visible =
        problem.causal ? std::min(problem.position(i) + 1, problem.keys) : problem.keys;
    const double seen = std::min(most, static_cast<double>(visible));
    total += seen;
    missed.push_back(static_cast<double>(visible) - seen);
  }
  // Visible keys do not decrease, so the last rows miss the most.
  const Index global_rows = std::min(count, problem.queries);
  for (Index i = 0; i < global_rows; ++i) total += missed[missed.size() - 1 - i];
  return total;
}

Cost WindowWithGlobalTokens::cost(const Problem& problem) const {
  Cost cost = Restriction::cost(problem);
  if (globals_.given(problem)) {
    cost.bytes += sizeof(std::int32_t) * static_cast<double>(globals_.count(problem));
    cost.exact = false;
  }
  return cost;
}

}  // namespace subquad
