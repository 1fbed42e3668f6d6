#pragma once

#include <span>
#include <string_view>

#include "records/record.h"
#include "subquad/view.h"

namespace subquad {

/// One head's output beside the exact one, at the same query rows.
struct Comparison {
  MatrixView<const double> output;     ///< [rows, value_dim]
  MatrixView<const double> reference;  ///< [rows, value_dim]
  /// [rows] each, both or neither: log-sum-exp over the keys that were kept, and over all keys.
  const double* kept_log_sum_exp = nullptr;
  const double* full_log_sum_exp = nullptr;
};

enum class Better { lower, higher };

/// One figure of how far an output is from the exact one.
///
/// Not a number in, not a number out: where the output holds a value that is not finite every
/// figure is NaN. Where the reference is zero, a relative figure is 0 for an output that is zero
/// too, otherwise infinite.
struct Metric {
  std::string_view key;    ///< in records
  std::string_view label;  ///< in tables and plots
  std::string_view unit;   ///< "1" for ratios, "v" for the unit that values are in
  Better better;
  bool needs_log_sum_exp;
  std::string_view doc;
  double (*figure)(const Comparison&);
  /// Standard error of the figure as an estimate of that over all of `population` rows, of which
  /// those compared are a sample without replacement. Null where it is not known.
  double (*deviation)(const Comparison&, Index population);
};

/// Every metric, the headline first. The only list of them there is.
std::span<const Metric> metrics();
/// Key of the headline figure: relative Frobenius error of the output.
inline constexpr std::string_view kHeadlineMetric = "relative_error";
/// Throws Error naming the known ones.
const Metric& find_metric(std::string_view key);

/// Appends the figures of one head, to be called in order of (sequence, head). Metrics that need a
/// log-sum-exp are left out where there is none.
void add_figures(const Comparison& comparison, HeadFigures& figures);
/// The same of their standard errors, where those are known.
void add_deviations(const Comparison& comparison, Index population, HeadFigures& deviations);

}  // namespace subquad
