#pragma once

#include <optional>
#include <string>

#include "report/estimate.h"

namespace subquad {

/// `digits` significant digits, exponents only where the number would be long: 0.0123, 45.6, 1234,
/// 1.2e-7; "nan" and "inf" where it is none.
std::string significant(double value, int digits = 3);

/// "12.3 ms"; from nanoseconds.
std::string human_time(double nanoseconds);
/// "1.25 MiB"; whole bytes below 1 KiB.
std::string human_bytes(double bytes);
/// The same as "1.25M".
std::string short_bytes(double bytes);

/// "12.3 [12.1 12.5]".
std::string with_bounds(const Estimate& estimate);
/// "0.12 [0.10 0.15]": two digits, and the median alone where all is below 1e-5. With a standard
/// error of the median "0.12±3% [0.10 0.15]".
std::string with_short_bounds(const Estimate& estimate, std::optional<double> deviation = {});
/// "12.3 ms [12.1 12.5]": bounds in the unit of the median; from nanoseconds.
std::string human_time_with_bounds(const Estimate& nanoseconds);
/// "12.3 ms ±2%": the larger half of the interval, relative to the median; from nanoseconds.
std::string human_time_with_margin(const Estimate& nanoseconds);

}  // namespace subquad
