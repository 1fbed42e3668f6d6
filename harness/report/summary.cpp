#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "measuring/attention_figures.h"
#include "measuring/metrics.h"
#include "measuring/roofline.h"
#include "measuring/statistics.h"
#include "report/rounds.h"
#include "report/selection.h"

namespace subquad {
namespace {

constexpr std::string_view kDroppedMass = "dropped_mass";

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
    const std::vector<double> values = figure(*record);
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

/// Of the roofline of each round.
std::optional<Estimate> over_rounds(const std::vector<const Record*>& seeds,
                                    double Roofline::*figure) {
  return over_seeds(seeds, [figure](const Record& record) {
    std::vector<double> values;
    for (const Roofline& round : rooflines(record)) values.push_back(round.*figure);
    return values;
  });
}

std::optional<double> over_rounds(const std::vector<const Record*>& seeds, double Round::*figure) {
  const auto estimate = over_seeds(seeds, [figure](const Record& record) {
    std::vector<double> values;
    for (const Round& round : record.rounds) values.push_back(round.*figure);
    return values;
  });
  return estimate ? std::optional(estimate->median) : std::nullopt;
}

std::optional<RowRoofline> roofline_over(const std::vector<const Record*>& seeds) {
  const auto share = over_rounds(seeds, &Roofline::useful_share);
  if (!share) return std::nullopt;
  return RowRoofline{.peak_gflops = *over_rounds(seeds, &Round::peak_gflops),
                     .bf16_peak_gflops = *over_rounds(seeds, &Round::bf16_peak_gflops),
                     .useful_share = *share,
                     .executed_share = *over_rounds(seeds, &Roofline::executed_share),
                     .attainable_share = *over_rounds(seeds, &Roofline::attainable_share),
                     .intensity = over_rounds(seeds, &Roofline::intensity)->median,
                     .attainable_gflops = over_rounds(seeds, &Roofline::attainable_gflops)->median};
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

/// Of any seed: one that cannot be relied on is enough to doubt the row.
std::string instability_of(const Row& row) {
  for (const Record* record : row.finished()) {
    std::string reason = instability(*record);
    if (reason.empty()) continue;
    if (row.records.size() > 1) reason = fmt::format("seed {}: {}", record->seed, reason);
    return reason;
  }
  return {};
}

void add_figures(Row& row) {
  const std::vector<const Record*> seeds = row.finished();
  if (seeds.empty()) return;

  row.sampled = std::any_of(seeds.begin(), seeds.end(), [](const Record* r) { return r->sampled; });
  row.time_ns = over_seeds(seeds, times_ns);
  row.processor_ns = over_rounds(seeds, &Round::cpu_ns);
  if (row.status == Status::ok) row.speed_up = over_seeds(seeds, speed_ups);
  if (row.time_ns) {
    // Multiply-adds per nanosecond, in floating-point operations per second.
    const double flops_per_multiply_add = 2e9 / row.time_ns->median;
    row.useful_flops = flops_per_multiply_add *
                       median_over(seeds, [](const Record& r) { return r.useful_multiply_adds; });
    // Streams do not report what they execute.
    if (!row.decodes()) {
      row.executed_flops = flops_per_multiply_add * median_over(seeds, [](const Record& r) {
                             return r.executed_multiply_adds;
                           });
    }
  }
  row.roofline = roofline_over(seeds);
  row.scratch_bytes = median_over(seeds, [](const Record& r) {
    return static_cast<double>(r.scratch_bytes + r.heap_bytes + r.choice_bytes + r.layout_bytes);
  });
  if (row.decodes()) {
    row.state_bytes =
        median_over(seeds, [](const Record& r) { return static_cast<double>(r.state_bytes); });
  }
  row.parameter_bytes = median_over(seeds, [](const Record& r) {
    return static_cast<double>(r.parameter_bytes + r.random_bytes);
  });
  for (const Record* record : seeds) {
    row.heap_allocations = std::max(row.heap_allocations, record->heap_allocations);
    row.heap_bytes = std::max(row.heap_bytes, record->heap_bytes);
    row.heap_kept_bytes = std::max(row.heap_kept_bytes, record->heap_kept_bytes);
  }
  for (const Record* record : seeds) {
    if (record->negative_denominators < 0) continue;
    const Problem& problem = record->problem;
    row.negative_denominators =
        row.negative_denominators.value_or(0) + record->negative_denominators;
    row.output_rows += static_cast<double>(record->batch * record->heads * problem.queries);
  }
  row.error = over_heads(seeds, &Record::error, kHeadlineMetric);
  if (const auto deviation = over_heads(seeds, &Record::error_deviation, kHeadlineMetric)) {
    row.error_deviation = deviation->median;
  }
  row.target_error = over_heads(seeds, &Record::target_error, kHeadlineMetric);
  // What a variant drops is counted on the attention that it restricts.
  row.dropped_mass = over_heads(seeds, &Record::target_error, kDroppedMass);
  if (!row.dropped_mass) row.dropped_mass = over_heads(seeds, &Record::error, kDroppedMass);
}

Row make_row(std::vector<const Record*> seeds, const Selection& selection) {
  std::sort(seeds.begin(), seeds.end(),
            [](const Record* a, const Record* b) { return a->seed < b->seed; });
  Row row;
  row.records = std::move(seeds);
  row.status = status_of(row.records);
  row.remark = remark_on(row.records);
  row.stale = std::any_of(row.records.begin(), row.records.end(),
                          [&](const Record* r) { return !selection.is_current(*r); });
  row.instability = instability_of(row);
  row.spread = spread_of(row.records);
  add_figures(row);
  return row;
}

/// They belong to the input: whichever variant's record holds them.
void add_attention(Table& table) {
  for (const Row& row : table.rows) {
    for (const Record* record : row.finished()) {
      if (record->attention_figures.empty()) continue;
      table.attention_records.push_back(record);
      table.attention_rows = std::max(table.attention_rows, record->attention_rows);
    }
  }
  for (const AttentionFigure& figure : attention_figures()) {
    const auto estimate =
        over_heads(table.attention_records, &Record::attention_figures, figure.key);
    if (estimate) table.attention.emplace(figure.key, *estimate);
  }
}

void add_quality(Table& table, const std::vector<const Record*>& anchors) {
  for (Row& row : table.rows) row.quality = qualities_of(row.finished(), anchors);
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

Table make_table(const std::vector<const Record*>& records, const Selection& selection) {
  std::map<std::string, std::vector<const Record*>> by_variant;
  for (const Record* record : records) by_variant[record->variant].push_back(record);
  Table table;
  for (auto& [variant, seeds] : by_variant) {
    table.rows.push_back(make_row(std::move(seeds), selection));
  }
  const auto anchor = std::find_if(table.rows.begin(), table.rows.end(), [](const Row& row) {
    return std::any_of(row.records.begin(), row.records.end(),
                       [](const Record* r) { return r->anchor; });
  });
  add_quality(table,
              anchor == table.rows.end() ? std::vector<const Record*>() : anchor->finished());
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

}  // namespace

std::vector<const Record*> Row::finished() const {
  std::vector<const Record*> seeds;
  std::copy_if(records.begin(), records.end(), std::back_inserter(seeds), [](const Record* r) {
    return r->status == Status::ok || r->status == Status::mistrusted;
  });
  return seeds;
}

Summary summarise(const std::vector<Record>& records, const ReportOptions& options) {
  Selection selection = select_records(records, options);
  std::map<Setting, std::size_t> place;
  std::vector<std::vector<const Record*>> groups;
  std::set<std::string> machines;
  for (const Record* record : selection.records) {
    machines.insert(record->machine);
    const auto [found, is_new] = place.emplace(setting_of(*record), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(record);
  }
  Summary summary;
  summary.options = options;
  summary.several_machines = machines.size() > 1;
  for (const auto& group : groups) {
    Table& table = summary.tables.emplace_back(make_table(group, selection));
    table.frontier = find_frontier(table.rows);
    add_attention(table);
    if (options.budget) table.budget = judge(table.rows, *options.budget);
  }
  summary.scaling = make_scaling(summary.tables);
  summary.notices = std::move(selection.notices);
  return summary;
}

std::optional<Estimate> metric_of(const Row& row, std::string_view metric) {
  return over_heads(row.finished(), &Record::error, metric);
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
