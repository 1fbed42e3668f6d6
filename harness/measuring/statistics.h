#pragma once

#include <vector>

namespace subquad {

/// Middle value; mean of the two middle ones where their count is even. NaN for no values.
double median(std::vector<double> values);

/// Quantile by linear interpolation between order statistics (Hyndman and Fan, "Sample quantiles in
/// statistical packages", 1996, type 7), `probability` in [0, 1]. NaN for no values.
double quantile(std::vector<double> values, double probability);

/// An interval for the median of the distribution that values were drawn from.
struct MedianInterval {
  double low = 0, high = 0;
  /// Probability that such an interval holds the median, whatever the distribution. Below what was
  /// asked for where there are too few values: five give no more than 0.9375.
  double coverage = 0;
};

/// The narrowest interval [k-th smallest, k-th largest] that holds the median with at least
/// `confidence`, by the binomial distribution of the number of values below it (David and Nagaraja,
/// "Order Statistics", 2003, section 7.1); smallest to largest where no interval reaches that. NaN
/// and coverage 0 for no values.
MedianInterval median_interval(std::vector<double> values, double confidence = 0.95);

}  // namespace subquad
