#pragma once

#include <vector>

#include "records/record.h"

namespace subquad {

/// What each round of a record makes of the machine, with the peak measured beside it; rounds
/// without a time or without a peak are left out. docs/measuring.md defines the figures.
std::vector<Roofline> rooflines(const Record& record);

/// Their medians, each figure by itself; zeros where there are none.
Roofline median_roofline(const Record& record);

}  // namespace subquad
