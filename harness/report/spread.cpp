#include "report/spread.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "measuring/metrics.h"
#include "report/models.h"
#include "report/rounds.h"

namespace subquad {
namespace {

const std::vector<double>& headline(const Record& record) {
  static const std::vector<double> kNone;
  const auto found = record.error.find(std::string(kHeadlineMetric));
  return found == record.error.end() ? kNone : found->second;
}

std::optional<Deviation> deviation(const std::optional<double>& variance) {
  if (!variance) return std::nullopt;
  return Deviation{std::sqrt(std::max(0.0, *variance)), *variance < 0};
}

/// Errors of one head: seed by seed, all draws of it.
std::vector<std::vector<double>> errors_of_head(const std::vector<const Record*>& seeds,
                                                std::size_t head) {
  std::vector<std::vector<double>> groups;
  for (const Record* record : seeds) {
    std::vector<double>& group = groups.emplace_back();
    const auto add = [&](const std::vector<double>& heads) {
      if (head < heads.size() && std::isfinite(heads[head])) group.push_back(heads[head]);
    };
    add(headline(*record));
    for (const Draw& draw : record->draws) add(draw.error);
  }
  return groups;
}

std::optional<double> average(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Head by head, since a variant is a function of one head and heads differ by more than what is
/// looked for here. Averages of variances stay without bias, so they are cut at zero only at last.
void add_error_parts(const std::vector<const Record*>& seeds, Spread& spread) {
  std::vector<double> all, between, within;
  const std::size_t heads = headline(*seeds.front()).size();
  for (std::size_t head = 0; head < heads; ++head) {
    const auto groups = errors_of_head(seeds, head);
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    const VarianceSplit split = split_variance(groups);
    if (split.between) between.push_back(*split.between);
    if (split.within) within.push_back(*split.within);
  }
  spread.error = average(all).value_or(std::nan(""));
  for (double& value : all) value *= value;
  spread.squared_error = average(all).value_or(std::nan(""));
  spread.method_error = deviation(average(within));
  spread.input_error = deviation(average(between));
  // Without tensors of its own a method has no randomness to hide in the input's part.
  const bool draws_tensors = std::any_of(seeds.begin(), seeds.end(), [](const Record* r) {
    return r->random_bytes + r->parameter_bytes > 0;
  });
  spread.method_in_input = draws_tensors && spread.input_error && !spread.method_error;
}

/// Logarithms, so that parts are relative; over the anchor, so that what the machine does to both
/// from one seed to the next is no part of it.
void add_time_parts(const std::vector<const Record*>& seeds, Spread& spread) {
  std::vector<std::vector<double>> groups;
  for (const Record* record : seeds) {
    std::vector<double> values = record->anchor ? times_ns(*record) : speed_ups(*record);
    std::transform(values.begin(), values.end(), values.begin(),
                   [](double value) { return std::log(value); });
    groups.push_back(std::move(values));
  }
  const VarianceSplit split = split_variance(groups);
  spread.timing_time = deviation(split.within);
  spread.input_time = deviation(split.between);
}

}  // namespace

std::optional<Spread> spread_of(const std::vector<const Record*>& seeds) {
  std::vector<const Record*> good;
  std::copy_if(seeds.begin(), seeds.end(), std::back_inserter(good),
               [](const Record* r) { return r->status == Status::ok; });
  Spread spread;
  spread.seeds = good.size();
  bool further_draws = false;
  for (const Record* record : good) {
    spread.draws += 1 + record->draws.size();
    further_draws = further_draws || !record->draws.empty();
  }
  if (good.empty() || (good.size() == 1 && !further_draws)) return std::nullopt;
  add_error_parts(good, spread);
  add_time_parts(good, spread);
  return spread;
}

}  // namespace subquad
