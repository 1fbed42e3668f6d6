#pragma once

namespace subquad {

/// A figure and its spread. Over rounds [low, high] is the order-statistic interval of the median,
/// over heads and over seeds it is the range.
struct Estimate {
  double median = 0, low = 0, high = 0;
  double coverage = 0;  ///< of an interval of the median; 0 for a range
};

}  // namespace subquad
