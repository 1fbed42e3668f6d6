#include "report/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace subquad {
namespace {

struct Unit {
  double size;
  const char* name;
};
constexpr std::array kTimeUnits = {Unit{1e9, "s"}, Unit{1e6, "ms"}, Unit{1e3, "µs"}, Unit{1, "ns"}};
constexpr std::array kByteUnits = {Unit{0x1p40, "TiB"}, Unit{0x1p30, "GiB"}, Unit{0x1p20, "MiB"},
                                   Unit{0x1p10, "KiB"}, Unit{1, "B"}};

/// Errors below this are rounding, whose spread tells a reader nothing.
constexpr double kRoundingError = 1e-5;

/// The largest unit that `value` holds at least once after rounding; the smallest if there is none.
template <std::size_t N>
const Unit& unit_for(double value, const std::array<Unit, N>& units) {
  const auto found = std::find_if(units.begin(), units.end(),
                                  [&](const Unit& unit) { return value >= 0.9995 * unit.size; });
  return found == units.end() ? units.back() : *found;
}

}  // namespace

std::string significant(double value, int digits) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == 0) return "0";
  // The exponent after rounding: 9.996 to three digits is 10.0, not 10.00.
  const std::string scientific = fmt::format("{:.{}e}", value, digits - 1);
  const std::size_t mark = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(mark + 1));
  if (exponent < -3 || exponent > 5) {
    return scientific.substr(0, mark) + "e" + std::to_string(exponent);
  }
  return fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
}

std::string human_time(double nanoseconds) {
  const Unit& unit = unit_for(nanoseconds, kTimeUnits);
  return significant(nanoseconds / unit.size) + " " + unit.name;
}

std::string human_bytes(double bytes) {
  const Unit& unit = unit_for(bytes, kByteUnits);
  if (unit.size == 1) return fmt::format("{:.0f} B", bytes);
  return significant(bytes / unit.size) + " " + unit.name;
}

std::string short_bytes(double bytes) {
  const Unit& unit = unit_for(bytes, kByteUnits);
  if (unit.size == 1) return fmt::format("{:.0f}", bytes);
  return significant(bytes / unit.size) + unit.name[0];
}

std::string with_bounds(const Estimate& estimate) {
  return fmt::format("{} [{} {}]", significant(estimate.median), significant(estimate.low),
                     significant(estimate.high));
}

std::string with_short_bounds(const Estimate& estimate, std::optional<double> deviation) {
  std::string text = significant(estimate.median, 2);
  if (std::abs(estimate.high) < kRoundingError) return text;
  if (deviation && estimate.median > 0) {
    text += "±" + significant(100 * *deviation / estimate.median, 1) + "%";
  }
  return text +
         fmt::format(" [{} {}]", significant(estimate.low, 2), significant(estimate.high, 2));
}

std::string human_time_with_bounds(const Estimate& nanoseconds) {
  const Unit& unit = unit_for(nanoseconds.median, kTimeUnits);
  return fmt::format("{} [{} {}]", human_time(nanoseconds.median),
                     significant(nanoseconds.low / unit.size),
                     significant(nanoseconds.high / unit.size));
}

std::string human_time_with_margin(const Estimate& nanoseconds) {
  const double margin =
      std::max(nanoseconds.high - nanoseconds.median, nanoseconds.median - nanoseconds.low);
  return fmt::format("{} ±{:.0f}%", human_time(nanoseconds.median),
                     100 * margin / nanoseconds.median);
}

}  // namespace subquad
