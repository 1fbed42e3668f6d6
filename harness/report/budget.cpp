#include "report/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "measuring/metrics.h"
#include "report/grid.h"
#include "report/rounds.h"
#include "report/summary.h"
#include "report/units.h"

namespace subquad {
namespace {

/// An error from a sample of rows may be this many of its standard errors larger in truth.
constexpr double kStandardErrors = 2;

const std::vector<double>* figures_of(const HeadFigures& figures) {
  const auto found = figures.find(std::string(kHeadlineMetric));
  return found == figures.end() || found->second.empty() ? nullptr : &found->second;
}

/// Median over heads of what each head's error is at most; the median over seeds of that.
std::optional<double> error_at_most(const Row& row) {
  std::vector<double> seeds;
  for (const Record* record : row.finished()) {
    const std::vector<double>* errors = figures_of(record->error);
    if (errors == nullptr) continue;
    std::vector<double> heads = *errors;
    const std::vector<double>* deviations = figures_of(record->error_deviation);
    for (std::size_t i = 0; deviations != nullptr && i < heads.size(); ++i) {
      if (i < deviations->size() && std::isfinite((*deviations)[i])) {
        heads[i] += kStandardErrors * (*deviations)[i];
      }
    }
    for (const double error : heads) {
      if (std::isnan(error)) return error;
    }
    seeds.push_back(median(std::move(heads)));
  }
  if (seeds.empty()) return std::nullopt;
  return median(std::move(seeds));
}

/// Every criterion that the row misses; empty if it meets the budget.
std::string misses_of(const Row& row, const BudgetResult::Place& place, const Budget& budget) {
  if (row.status != Status::ok) return words(row.status);
  std::vector<std::string> reasons;
  if (budget.max_error) {
    if (!place.error) {
      reasons.emplace_back("its error was not measured");
    } else if (!(*place.error <= *budget.max_error)) {
      const bool by_sampling_alone = row.error && row.error->median <= *budget.max_error;
      reasons.push_back(fmt::format("error {}{} > {}",
                                    by_sampling_alone ? "of a sample of rows may be up to " : "",
                                    significant(*place.error), significant(*budget.max_error)));
    }
  }
  if (budget.memory_bytes && place.memory_bytes > *budget.memory_bytes) {
    reasons.push_back(fmt::format("memory {} > {}", human_bytes(place.memory_bytes),
                                  human_bytes(*budget.memory_bytes)));
  }
  return fmt::format("{}", fmt::join(reasons, "; "));
}

/// Comparable over rounds where there is an anchor; infinite for what was not timed.
double time_key(const Row& row) {
  if (row.speed_up) return 1 / row.speed_up->median;
  return row.time_ns ? row.time_ns->median : std::numeric_limits<double>::infinity();
}

bool told_apart(const Row& a, const Row& b) {
  return side_of(paired_ratios(a.finished(), b.finished()), 1) != Side::open;
}

/// The fastest leads; what cannot be told from it shares its rank; the fastest of the rest leads
/// next.
void rank(std::vector<BudgetResult::Place>& places, const std::vector<Row>& rows) {
  const auto faster = [&](const BudgetResult::Place& a, const BudgetResult::Place& b) {
    return std::pair(time_key(rows[a.row]), a.row) < std::pair(time_key(rows[b.row]), b.row);
  };
  std::sort(places.begin(), places.end(), faster);
  for (auto leader = places.begin(); leader != places.end();) {
    const Row& fastest = rows[leader->row];
    const auto next = std::stable_partition(
        leader + 1, places.end(),
        [&](const BudgetResult::Place& place) { return !told_apart(rows[place.row], fastest); });
    const auto number = static_cast<int>(leader - places.begin()) + 1;
    for (; leader != next; ++leader) leader->rank = number;
  }
}

}  // namespace

double memory_bytes(const Row& row) {
  return row.scratch_bytes.value_or(0) + row.state_bytes.value_or(0) +
         row.parameter_bytes.value_or(0);
}

BudgetResult judge(const std::vector<Row>& rows, const Budget& budget) {
  BudgetResult result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const BudgetResult::Place place{i, 0, error_at_most(rows[i]), memory_bytes(rows[i])};
    if (const std::string reason = misses_of(rows[i], place, budget); !reason.empty()) {
      result.misses.push_back({i, reason});
    } else {
      result.places.push_back(place);
    }
  }
  rank(result.places, rows);
  return result;
}

}  // namespace subquad
