#include "measuring/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace subquad {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// P(B <= k) for B binomial with `trials` trials of probability 1/2, by logarithms: the
/// coefficients overflow beyond a thousand trials.
double binomial_half_at_most(int k, int trials) {
  double total = 0;
  for (int i = 0; i <= k; ++i) {
    total += std::exp(std::lgamma(trials + 1.0) - std::lgamma(i + 1.0) -
                      std::lgamma(trials - i + 1.0) - trials * std::log(2.0));
  }
  return total;
}

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
  // The interval from the k-th smallest to the k-th largest (k from 0) misses the median if at most
  // k values lie on one side of it.
  const auto coverage = [count](int k) { return 1 - 2 * binomial_half_at_most(k, count); };
  int k = 0;
  while (2 * (k + 1) < count - 1 && coverage(k + 1) >= confidence) ++k;
  return {values[k], values[count - 1 - k], count == 1 ? 0.0 : coverage(k)};
}

}  // namespace subquad
