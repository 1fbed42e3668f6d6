#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "measuring/metrics.h"
#include "measuring/statistics.h"

namespace subquad {
namespace {

constexpr std::string_view kDroppedMass = "dropped_mass";

/// What records must share to stand in one table.
auto table_key(const Record& r) {
  const Problem& p = r.problem;
  return std::make_tuple(r.input, p.queries, p.keys, p.dim, p.value_dim, p.causal, p.first_query,
                         p.score_scale(), r.batch, r.heads, r.key_heads, r.threads, r.direction);
}

auto point_key(const Record& r) { return std::make_tuple(table_key(r), r.variant, r.seed); }

using Builds = std::set<std::string>;

/// Those that the options name; else all but those that another one came after: a build is of
/// yesterday as soon as one of its points was measured again by other code.
Builds current_builds(const std::vector<Record>& records, const ReportOptions& options) {
  if (!options.builds.empty()) return {options.builds.begin(), options.builds.end()};
  std::map<decltype(point_key(records.front())), std::string> last;
  Builds all, stale;
  for (const Record& record : records) {
    all.insert(record.build);
    const auto [found, is_new] = last.emplace(point_key(record), record.build);
    if (is_new || found->second == record.build) continue;
    stale.insert(found->second);
    stale.erase(record.build);
    found->second = record.build;
  }
  for (const std::string& build : stale) all.erase(build);
  return all;
}

bool is_current(const Record& record, const Builds& builds) { return builds.count(record.build); }

bool finished(const Record& record) {
  return record.status == Status::ok || record.status == Status::mistrusted;
}

/// The records that count, in the order of their points' first appearance.
std::vector<const Record*> effective_records(const std::vector<Record>& records,
                                             const Builds& builds) {
  std::map<decltype(point_key(records.front())), std::size_t> place;
  std::vector<const Record*> effective;
  for (const Record& record : records) {
    const auto [found, is_new] = place.emplace(point_key(record), effective.size());
    if (is_new) {
      effective.push_back(&record);
    } else if (is_current(record, builds) || !is_current(*effective[found->second], builds)) {
      effective[found->second] = &record;
    }
  }
  return effective;
}

template <class Figure>
std::vector<double> over_rounds(const Record& record, Figure figure) {
  std::vector<double> values;
  for (const Round& round : record.rounds) {
    if (const std::optional<double> value = figure(round)) values.push_back(*value);
  }
  return values;
}

std::optional<double> time_of(const Round& round) {
  return round.time_ns > 0 ? std::optional(round.time_ns) : std::nullopt;
}

std::optional<double> speed_up_of(const Round& round) {
  if (round.time_ns <= 0 || round.anchor_ns <= 0) return std::nullopt;
  return round.anchor_ns / round.time_ns;
}

Estimate range_of(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {median(values), *low, *high, 0};
}

/// With one seed the median over its rounds, with its interval; with several the median over their
/// medians, with their range. Empty if a seed has no figure.
template <class Figure>
std::optional<Estimate> over_seeds(const std::vector<const Record*>& seeds, Figure figure) {
  std::vector<double> medians;
  for (const Record* record : seeds) {
    const std::vector<double> values = over_rounds(*record, figure);
    if (values.empty()) return std::nullopt;
    if (seeds.size() == 1) {
      const MedianInterval interval = median_interval(values);
      return Estimate{median(values), interval.low, interval.high, interval.coverage};
    }
    medians.push_back(median(values));
  }
  if (medians.empty()) return std::nullopt;
  return range_of(medians);
}

/// Median over seeds of the median over heads, with the range over all heads of all seeds. A figure
/// that is not a number makes all three so: sorting has no place for it.
std::optional<Estimate> over_heads(const std::vector<const Record*>& seeds,
                                   HeadFigures Record::*figures, std::string_view metric) {
  std::vector<double> medians, all;
  for (const Record* record : seeds) {
    const auto found = (record->*figures).find(std::string(metric));
    if (found == (record->*figures).end() || found->second.empty()) continue;
    medians.push_back(median(found->second));
    all.insert(all.end(), found->second.begin(), found->second.end());
  }
  if (all.empty()) return std::nullopt;
  if (std::any_of(all.begin(), all.end(), [](double v) { return std::isnan(v); })) {
    return Estimate{std::nan(""), std::nan(""), std::nan(""), 0};
  }
  Estimate estimate = range_of(all);
  estimate.median = median(medians);
  return estimate;
}

template <class Figure>
double median_over(const std::vector<const Record*>& seeds, Figure figure) {
  std::vector<double> values;
  for (const Record* record : seeds) values.push_back(figure(*record));
  return median(values);
}

/// `ok` needs one seed that ended well; a single mistrusted one is enough to doubt the rest.
Status status_of(const std::vector<const Record*>& seeds) {
  const auto any = [&](Status status) {
    return std::any_of(seeds.begin(), seeds.end(),
                       [&](const Record* r) { return r->status == status; });
  };
  if (any(Status::mistrusted)) return Status::mistrusted;
  return any(Status::ok) ? Status::ok : seeds.front()->status;
}

std::string remark_on(const std::vector<const Record*>& seeds) {
  std::map<std::pair<Status, std::string>, std::vector<std::uint64_t>> endings;
  for (const Record* record : seeds) {
    if (record->status != Status::ok) {
      endings[{record->status, record->reason}].push_back(record->seed);
    }
  }
  std::string remark;
  for (const auto& [ending, which] : endings) {
    if (!remark.empty()) remark += "; ";
    remark += to_string(ending.first);
    if (which.size() < seeds.size()) remark += fmt::format(" (seed {})", fmt::join(which, ", "));
    if (!ending.second.empty()) remark += ": " + ending.second;
  }
  return remark;
}

void add_figures(Row& row) {
  std::vector<const Record*> seeds;
  std::copy_if(row.records.begin(), row.records.end(), std::back_inserter(seeds),
               [](const Record* r) { return finished(*r); });
  if (seeds.empty()) return;

  row.sampled = std::any_of(seeds.begin(), seeds.end(), [](const Record* r) { return r->sampled; });
  row.time_ns = over_seeds(seeds, time_of);
  if (row.status == Status::ok) row.speed_up = over_seeds(seeds, speed_up_of);
  if (row.time_ns) {
    // Multiply-adds per nanosecond, in floating-point operations per second.
    const double flops_per_multiply_add = 2e9 / row.time_ns->median;
    row.useful_flops = flops_per_multiply_add *
                       median_over(seeds, [](const Record& r) { return r.useful_multiply_adds; });
    row.executed_flops = flops_per_multiply_add * median_over(seeds, [](const Record& r) {
                           return r.executed_multiply_adds;
                         });
  }
  row.scratch_bytes =
      median_over(seeds, [](const Record& r) { return static_cast<double>(r.scratch_bytes); });
  row.parameter_bytes = median_over(seeds, [](const Record& r) {
    return static_cast<double>(r.parameter_bytes + r.random_bytes);
  });
  row.error = over_heads(seeds, &Record::error, kHeadlineMetric);
  row.target_error = over_heads(seeds, &Record::target_error, kHeadlineMetric);
  // What a variant drops is counted on the attention that it restricts.
  row.dropped_mass = over_heads(seeds, &Record::target_error, kDroppedMass);
  if (!row.dropped_mass) row.dropped_mass = over_heads(seeds, &Record::error, kDroppedMass);
}

Row make_row(std::vector<const Record*> seeds, const Builds& builds) {
  std::sort(seeds.begin(), seeds.end(),
            [](const Record* a, const Record* b) { return a->seed < b->seed; });
  Row row;
  row.records = std::move(seeds);
  row.status = status_of(row.records);
  row.remark = remark_on(row.records);
  row.stale = std::any_of(row.records.begin(), row.records.end(),
                          [&](const Record* r) { return !is_current(*r, builds); });
  add_figures(row);
  return row;
}

void add_efficiency(Table& table, const Row& anchor) {
  const double anchor_work = anchor.first().useful_multiply_adds;
  for (Row& row : table.rows) {
    const double work = row.first().useful_multiply_adds;
    if (row.speed_up && work > 0 && anchor_work > 0) {
      row.efficiency = row.speed_up->median / (anchor_work / work);
    }
  }
}

constexpr std::array kTargetOrder = {"exact",     "estimator", "restriction",
                                     "operation", "control",   "oracle"};

std::size_t place_of_target(const Row& row, const std::string& first_target) {
  if (row.first().target == first_target) return 0;
  const auto found = std::find(kTargetOrder.begin(), kTargetOrder.end(), row.first().target);
  return 1 + static_cast<std::size_t>(found - kTargetOrder.begin());
}

void sort_rows(Table& table, const std::string& anchor_target) {
  const auto key = [&](const Row& row) {
    const double time = row.time_ns ? row.time_ns->median : std::numeric_limits<double>::infinity();
    return std::make_tuple(place_of_target(row, anchor_target), row.first().target,
                           row.first().variant != table.anchor, time, row.first().variant);
  };
  std::sort(table.rows.begin(), table.rows.end(),
            [&](const Row& a, const Row& b) { return key(a) < key(b); });
}

Table make_table(const std::vector<const Record*>& records, const Builds& builds) {
  std::map<std::string, std::vector<const Record*>> by_variant;
  for (const Record* record : records) by_variant[record->variant].push_back(record);
  Table table;
  for (auto& [variant, seeds] : by_variant) {
    table.rows.push_back(make_row(std::move(seeds), builds));
  }
  const auto anchor = std::find_if(table.rows.begin(), table.rows.end(), [](const Row& row) {
    return std::any_of(row.records.begin(), row.records.end(),
                       [](const Record* r) { return r->anchor; });
  });
  if (anchor == table.rows.end()) {
    sort_rows(table, kTargetOrder.front());
    return table;
  }
  table.anchor = anchor->first().variant;
  const std::string anchor_target = anchor->first().target;
  add_efficiency(table, *anchor);
  sort_rows(table, anchor_target);
  return table;
}

std::string count_of(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void add_notices(Summary& summary, std::size_t all, const std::vector<const Record*>& effective,
                 const Builds& builds) {
  if (effective.empty()) {
    summary.notices.push_back("No records: nothing has been measured yet.");
    return;
  }
  if (all > effective.size()) {
    summary.notices.push_back(count_of(all - effective.size(), "earlier record") +
                              " of points that were measured again left out.");
  }
  const auto stale = static_cast<std::size_t>(
      std::count_if(effective.begin(), effective.end(),
                    [&](const Record* r) { return !is_current(*r, builds); }));
  if (stale == effective.size()) {
    summary.notices.push_back(
        "Every record is stale: other code than today's measured it. Run the experiment again for "
        "figures of today's code.");
  } else if (stale > 0) {
    summary.notices.push_back(count_of(stale, "record") +
                              " measured by other code than today's, marked stale.");
  }
}

}  // namespace

Summary summarise(const std::vector<Record>& records, const ReportOptions& options) {
  const Builds builds = current_builds(records, options);
  const std::vector<const Record*> effective = effective_records(records, builds);
  std::map<decltype(table_key(records.front())), std::size_t> place;
  std::vector<std::vector<const Record*>> groups;
  for (const Record* record : effective) {
    const auto [found, is_new] = place.emplace(table_key(*record), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(record);
  }
  Summary summary;
  for (const auto& group : groups) summary.tables.push_back(make_table(group, builds));
  add_notices(summary, records.size(), effective, builds);
  return summary;
}

std::string target_heading(const std::string& target) {
  static const std::map<std::string, std::string> kMeanings = {
      {"exact", "softmax attention itself; the error is rounding"},
      {"estimator", "approximates softmax attention; error against dense"},
      {"restriction", "softmax over a subset of the keys; error against dense"},
      {"operation", "computes something else by design; the figure is a distance"},
      {"control", "what a useful method must beat; error against dense"},
      {"oracle", "what no method of its family can beat; error against dense"}};
  const auto found = kMeanings.find(target);
  return found == kMeanings.end() ? target : target + ": " + found->second;
}

}  // namespace subquad
