#include "report/scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

#include "report/models.h"
#include "report/selection.h"
#include "report/summary.h"

namespace subquad {
namespace {

/// A variant at one length.
struct Place {
  Index keys = 0;
  const Row* row = nullptr;
};

double power_between(const std::pair<Index, double>& low, const std::pair<Index, double>& high) {
  return std::log(high.second / low.second) /
         std::log(static_cast<double>(high.first) / static_cast<double>(low.first));
}

std::vector<double> pooled_speed_ups(const Row& row) {
  std::vector<double> pooled;
  for (const Record* record : row.finished()) {
    const std::vector<double> of_seed = speed_ups(*record);
    pooled.insert(pooled.end(), of_seed.begin(), of_seed.end());
  }
  return pooled;
}

template <class Figure>
std::optional<Exponent> exponent_over(const std::vector<Place>& places, Figure figure) {
  std::vector<std::pair<Index, double>> points;
  for (const Place& place : places) {
    const std::optional<double> value = figure(*place.row);
    if (!value || !(*value > 0)) return std::nullopt;
    points.emplace_back(place.keys, *value);
  }
  return exponent_of(points);
}

Trend make_trend(const std::vector<Place>& places, const std::string& anchor) {
  Trend trend;
  trend.record = &places.back().row->first();
  std::vector<std::pair<Index, Side>> sides;
  std::vector<Estimate> of_lengths;
  for (const Place& place : places) {
    trend.lengths.push_back(place.keys);
    if (const std::vector<double> ratios = pooled_speed_ups(*place.row); !ratios.empty()) {
      sides.emplace_back(place.keys, side_of(ratios, 1));
      const MedianInterval interval = median_interval(ratios, kConfidence);
      of_lengths.push_back({median(ratios), interval.low, interval.high, interval.coverage});
    }
  }
  trend.time = exponent_over(places, [](const Row& row) {
    return row.time_ns ? std::optional(row.time_ns->median) : std::nullopt;
  });
  trend.work = exponent_over(
      places, [](const Row& row) { return std::optional(row.first().useful_multiply_adds); });
  trend.memory = exponent_over(
      places, [](const Row& row) { return row.decodes() ? row.state_bytes : row.scratch_bytes; });
  trend.parameters = exponent_over(places, [](const Row& row) {
    return std::optional(
        static_cast<double>(row.first().parameter_bytes + row.first().random_bytes));
  });
  if (trend.record->variant != anchor && sides.size() >= 2) {
    trend.crossover = crossover_of(std::move(sides));
    trend.speed_ups = std::move(of_lengths);
  }
  return trend;
}

/// `tables` by increasing length.
Series make_series(const std::vector<const Table*>& tables) {
  Series series;
  series.record = &tables.back()->first();
  series.anchor = tables.back()->anchor;
  bool any_current = false;
  for (const Table* table : tables) {
    series.lengths.push_back(table->first().problem.keys);
    for (const Row& row : table->rows) any_current = any_current || !row.stale;
  }
  std::map<std::string, std::vector<Place>> by_variant;
  std::vector<std::string> order;
  for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
    for (const Row& row : (*table)->rows) {
      if (row.status != Status::ok || (row.stale && any_current)) continue;
      std::vector<Place>& places = by_variant[row.first().variant];
      if (places.empty()) order.push_back(row.first().variant);
      places.insert(places.begin(), {row.first().problem.keys, &row});
    }
  }
  for (const std::string& variant : order) {
    if (by_variant[variant].size() < 2) continue;
    series.trends.push_back(make_trend(by_variant[variant], series.anchor));
  }
  return series;
}

}  // namespace

const char* to_string(Crossover::State state) {
  static constexpr std::array kNames = {"faster",       "slower",          "between",
                                        "faster_later", "slower_at_first", "slower_at_last",
                                        "undecided"};
  return kNames.at(static_cast<std::size_t>(state));
}

std::string crossover_text(const Crossover& crossover) {
  using State = Crossover::State;
  const Index first = crossover.lengths.front().first, last = crossover.lengths.back().first;
  switch (crossover.state) {
    case State::faster:
      return fmt::format("everywhere, from {}", first);
    case State::slower:
      return fmt::format("nowhere, up to {}", last);
    case State::between:
      return fmt::format("between {} and {}", *crossover.slower_until, *crossover.faster_from);
    case State::faster_later:
      return fmt::format("from {}; undecided before", *crossover.faster_from);
    case State::slower_at_first:
      return fmt::format("not up to {}; undecided after", *crossover.slower_until);
    case State::slower_at_last:
      return fmt::format("not from {} on", *crossover.slower_from);
    case State::undecided:
      return fmt::format("undecided, {} to {}", first, last);
  }
  throw std::logic_error("crossover: unknown state");
}

bool Trend::is_quadratic() const {
  if (!work || record->decodes()) return false;
  return (work->last_step ? work->last_step->value : work->value) >= kQuadratic;
}

Crossover crossover_of(std::vector<std::pair<Index, Side>> lengths) {
  using State = Crossover::State;
  if (lengths.empty()) throw std::logic_error("crossover: no lengths");
  Crossover crossover;
  bool to_the_end = true;
  const Side last = lengths.back().second;
  for (auto length = lengths.rbegin(); length != lengths.rend(); ++length) {
    const auto [keys, side] = *length;
    to_the_end = to_the_end && side == last;
    if (to_the_end && side == Side::above) crossover.faster_from = keys;
    if (to_the_end && side == Side::below) crossover.slower_from = keys;
    if (side == Side::below && !crossover.slower_until) crossover.slower_until = keys;
  }
  if (crossover.faster_from) {
    crossover.state = to_the_end               ? State::faster
                      : crossover.slower_until ? State::between
                                               : State::faster_later;
  } else if (crossover.slower_from) {
    crossover.state = to_the_end ? State::slower : State::slower_at_last;
  } else if (crossover.slower_until) {
    crossover.state = State::slower_at_first;
  }
  crossover.lengths = std::move(lengths);
  return crossover;
}

Exponent exponent_of(const std::vector<std::pair<Index, double>>& points) {
  std::vector<double> x, y;
  for (const auto& [keys, value] : points) {
    x.push_back(std::log(static_cast<double>(keys)));
    y.push_back(std::log(value));
  }
  const std::optional<LineFit> fit = fit_line(x, y);
  if (!fit) throw std::logic_error("exponent: fewer than two lengths");
  Exponent exponent{fit->slope, fit->slope_margin, std::nullopt};
  const auto& longest = points.back();
  for (const auto& point : points) {
    if (2 * point.first > longest.first) break;
    exponent.last_step = {point.first, longest.first, power_between(point, longest)};
  }
  return exponent;
}

std::vector<std::vector<const Table*>> tables_over_lengths(const std::vector<Table>& tables) {
  std::map<Setting, std::size_t> place;
  std::vector<std::vector<const Table*>> groups;
  for (const Table& table : tables) {
    const auto [found, is_new] = place.emplace(setting_over_lengths(table.first()), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(&table);
  }
  for (auto& group : groups) {
    std::sort(group.begin(), group.end(), [](const Table* a, const Table* b) {
      return a->first().problem.keys < b->first().problem.keys;
    });
  }
  return groups;
}

std::vector<Series> make_scaling(const std::vector<Table>& tables) {
  std::vector<Series> scaling;
  for (const auto& group : tables_over_lengths(tables)) {
    Series series = make_series(group);
    if (!series.trends.empty()) scaling.push_back(std::move(series));
  }
  return scaling;
}

}  // namespace subquad
