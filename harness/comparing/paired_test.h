#pragma once

#include <vector>

namespace subquad {

/// What a sample says of the mean of the distribution it comes from.
struct MeanTest {
  double mean = 0;
  double low = 0, high = 0;  ///< interval of 95 %
  double p = 1;              ///< two-sided, of a mean of 0
};

/// Share of the values that `trimmed_test` leaves out at each end.
inline constexpr double kTrimmed = 0.1;

/// Student's t test of a trimmed mean: the floor(n / 10) smallest and largest values are left out
/// of the mean, and drawn in to their neighbours for its standard error (Yuen, "The two-sample
/// trimmed t for unequal population variances", Biometrika 61, 1974; of one sample Tukey and
/// McLaughlin, Sankhya A 25, 1963). Needs two values at least (std::logic_error).
MeanTest trimmed_test(std::vector<double> values);

/// Welch's t test of mean(b) - mean(a), for samples of unlike variance (Biometrika 34, 1947). Needs
/// two values each (std::logic_error).
MeanTest welch_test(const std::vector<double>& a, const std::vector<double>& b);

/// p values as adjusted by Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979):
/// who rejects where these are below 5 % errs in any of all tests with at most 5 %, however they
/// depend on one another.
std::vector<double> holm_adjusted(const std::vector<double>& p);

}  // namespace subquad
