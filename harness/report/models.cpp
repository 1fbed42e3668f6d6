#include "report/models.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace subquad {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double square(double value) { return value * value; }

/// From 1 on.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<double> ranks;
  for (const double value : values) {
    const auto below =
        std::count_if(values.begin(), values.end(), [&](double other) { return other < value; });
    const auto equal = std::count(values.begin(), values.end(), value);
    ranks.push_back(static_cast<double>(below) + static_cast<double>(equal + 1) / 2);
  }
  return ranks;
}

}  // namespace

std::optional<LineFit> fit_line(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size()) throw std::logic_error("fit_line: as many x as y");
  if (x.size() < 2) return std::nullopt;
  const double x_mean = mean(x), y_mean = mean(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += square(x[i] - x_mean);
    xy += (x[i] - x_mean) * (y[i] - y_mean);
  }
  if (xx == 0) return std::nullopt;
  LineFit fit{xy / xx, y_mean - xy / xx * x_mean, std::nullopt};
  if (x.size() == 2) return fit;
  double residual = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    residual += square(y[i] - fit.intercept - fit.slope * x[i]);
  }
  const auto freedom = static_cast<double>(x.size() - 2);
  const double t = boost::math::quantile(boost::math::students_t(freedom), (1 + kConfidence) / 2);
  fit.slope_margin = t * std::sqrt(residual / freedom / xx);
  return fit;
}

std::optional<double> rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  // The correlation is the geometric mean of the slopes of either rank over the other.
  const auto forth = fit_line(ranks_of(x), ranks_of(y)), back = fit_line(ranks_of(y), ranks_of(x));
  if (!forth || !back) return std::nullopt;
  return std::copysign(std::sqrt(forth->slope * back->slope), forth->slope);
}

VarianceSplit split_variance(const std::vector<std::vector<double>>& groups) {
  double count = 0, total = 0, squared_sizes = 0, number = 0;
  for (const auto& group : groups) {
    if (group.empty()) continue;
    const auto size = static_cast<double>(group.size());
    ++number;
    count += size;
    squared_sizes += size * size;
    total += std::accumulate(group.begin(), group.end(), 0.0);
  }
  double between_squares = 0, within_squares = 0;
  for (const auto& group : groups) {
    if (group.empty()) continue;
    const double centre = mean(group);
    between_squares += static_cast<double>(group.size()) * square(centre - total / count);
    for (const double value : group) within_squares += square(value - centre);
  }
  VarianceSplit split;
  if (count > number) split.within = within_squares / (count - number);
  if (number >= 2) {
    // What a group's mean square holds of the variance between groups; its size where all are
    // equal.
    const double effective_size = (count - squared_sizes / count) / (number - 1);
    const double excess = between_squares / (number - 1) - split.within.value_or(0);
    split.between = excess / effective_size;
  }
  return split;
}

}  // namespace subquad
