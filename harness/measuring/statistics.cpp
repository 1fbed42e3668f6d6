#include "measuring/statistics.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <limits>

namespace subquad {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double quantile(std::vector<double> values, double probability) {
  if (values.empty()) return kNaN;
  std::sort(values.begin(), values.end());
  const double position = probability * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double fraction = position - static_cast<double>(below);
  // Not interpolated at a fraction of 0: the neighbour may be infinite.
  if (fraction == 0 || values[below] == values[above]) return values[below];
  return values[below] + fraction * (values[above] - values[below]);
}

MedianInterval median_interval(std::vector<double> values, double confidence) {
  if (values.empty()) return {kNaN, kNaN, 0};
  std::sort(values.begin(), values.end());
  const int count = static_cast<int>(values.size());
  if (count == 1) return {values[0], values[0], 0};
  // The interval from the k-th smallest to the k-th largest (k from 0) misses the median if at most
  // k values lie on one side of it.
  const boost::math::binomial below(count, 0.5);
  double missed = 2 * boost::math::pdf(below, 0);
  int k = 0;
  while (2 * (k + 1) < count - 1) {
    const double wider = missed + 2 * boost::math::pdf(below, k + 1);
    if (1 - wider < confidence) break;
    missed = wider;
    ++k;
  }
  return {values[k], values[count - 1 - k], 1 - missed};
}

}  // namespace subquad
