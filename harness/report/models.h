#pragma once

#include <optional>
#include <vector>

namespace subquad {

/// A straight line through points, by least squares.
struct LineFit {
  double slope = 0, intercept = 0;
  /// Half of the 95 % interval of the slope, by Student's t with two degrees of freedom fewer than
  /// points, for errors that are independent and equally large; none for two points, which a line
  /// always meets.
  std::optional<double> slope_margin;
};
inline constexpr double kConfidence = 0.95;

/// As many `x` as `y`, all finite; nothing for fewer than two different `x`.
std::optional<LineFit> fit_line(const std::vector<double>& x, const std::vector<double>& y);

/// Spearman's rank correlation; equal values share the mean of their ranks. Nothing for fewer than
/// two pairs, or where all values of one side are equal. As many `x` as `y`, all finite.
std::optional<double> rank_correlation(const std::vector<double>& x, const std::vector<double>& y);

/// What a one-way random effects model splits the variance of values into: each group has a mean of
/// its own, drawn around the common one, and values scatter around the mean of their group.
struct VarianceSplit {
  std::optional<double> between;  ///< of groups' means; needs two groups
  std::optional<double> within;   ///< of values in a group; needs a group of two
};

/// The analysis of variance estimator for groups of any sizes (Searle, Casella and McCulloch,
/// "Variance Components", 1992, section 3.6): it has no bias, and so `between` may be negative
/// where it is small. Without a group of two nothing tells the parts from one another: `between` is
/// then the variance of the groups' values, with what is within them in it. Empty groups do not
/// count.
VarianceSplit split_variance(const std::vector<std::vector<double>>& groups);

}  // namespace subquad
