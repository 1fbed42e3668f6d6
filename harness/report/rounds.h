#pragma once

#include <string>
#include <vector>

#include "measuring/statistics.h"
#include "records/record.h"

namespace subquad {

/// Figures of a record's rounds, in order; rounds that lack one are left out.
std::vector<double> times_ns(const Record& record);
/// The anchor's time over the point's, in the same round.
std::vector<double> speed_ups(const Record& record);

/// Whether the median of what values were drawn from is below or above `limit`, as far as an
/// interval of 95 % tells; `open` also where values are too few for such an interval.
enum class Side { below, open, above };
Side side_of(const std::vector<double>& values, double limit);

/// Times of two variants round by round, first over second, each over the anchor's time where both
/// have one; rounds of the same seed and number belong together.
std::vector<double> paired_ratios(const std::vector<const Record*>& first,
                                  const std::vector<const Record*>& second);

/// Why a point's times are not to be relied on; empty if nothing speaks against them.
/// docs/statistics.md has the rule and its reason.
std::string instability(const Record& record);

}  // namespace subquad
