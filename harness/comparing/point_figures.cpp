#include "comparing/point_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "measuring/metrics.h"
#include "report/units.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using nlohmann::json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
/// What says which problem a record is of.
constexpr const char* kAsked[] = {"resolved", "input",     "direction", "decoded_tokens", "batch",
                                  "heads",    "key_heads", "seed",      "threads"};

/// Digits of a bit more than those that rounding leaves of an error.
constexpr int kErrorDigits = 4;

std::vector<double> headline_of(const json& record) {
  std::vector<double> figures;
  const json& error = record.at("error");
  const auto found = error.find(std::string(kHeadlineMetric));
  if (found == error.end()) return figures;
  for (const json& one : *found) figures.push_back(one.is_null() ? kNaN : one.get<double>());
  return figures;
}

PointFigures read(const json& record) {
  PointFigures figures;
  figures.schema = record.at("schema");
  figures.status = status_from_string(record.at("status"));
  figures.reason = record.at("reason");
  figures.target = record.at("target");
  for (const char* field : kAsked) figures.asked[field] = record.at(field).dump();
  for (const auto& [field, value] : record.at("problem").items()) {
    figures.asked[field] = value.dump();
  }
  figures.error = headline_of(record);
  figures.reference_rows = record.at("reference_rows");
  figures.arithmetic_tolerance = record.at("arithmetic_tolerance");
  const bool alone = record.at("threads") == 1;
  for (const char* part : {alone ? "scratch_bytes" : "scratch_declared_bytes", "heap_bytes",
                           "choice_bytes", "layout_bytes", "state_bytes"}) {
    figures.scratch_bytes += record.at(part).get<std::uint64_t>();
  }
  for (const char* part : {"parameter_bytes", "random_bytes"}) {
    figures.parameter_bytes += record.at(part).get<std::uint64_t>();
  }
  return figures;
}

/// From what works to what does not.
int rank(Status status) { return status == Status::ok ? 0 : status == Status::refused ? 1 : 2; }

std::string ending(const PointFigures& figures) {
  std::string text = to_string(figures.status);
  if (!figures.reason.empty()) text += " (" + figures.reason + ")";
  return text;
}

/// Where a smaller figure is the better one; elsewhere it is a distance to something else.
bool has_better(const std::string& target) { return target != "operation" && target != "control"; }

void add_error_change(const PointFigures& a, const PointFigures& b, std::vector<Change>& changes) {
  if (a.error.empty() || b.error.empty()) return;
  if (a.error.size() != b.error.size() || a.reference_rows != b.reference_rows) {
    changes.push_back({"errors are not taken over the same heads and query rows", false});
    return;
  }
  std::size_t count = 0, greatest = 0;
  double excess = 0;
  bool worse = false;
  for (std::size_t i = 0; i < a.error.size(); ++i) {
    const double before = a.error[i], after = b.error[i];
    if (std::isnan(before) && std::isnan(after)) continue;
    const double rounding =
        rounding_of_error(std::max(before, after), a.arithmetic_tolerance, b.arithmetic_tolerance);
    // Not >, so that an error that is no number does not pass.
    if (std::abs(after - before) <= rounding) continue;
    ++count;
    worse = worse || !(after < before);
    const double beyond = std::isnan(after - before) ? std::numeric_limits<double>::infinity()
                                                     : std::abs(after - before);
    if (beyond > excess) {
      excess = beyond;
      greatest = i;
    }
  }
  if (count == 0) return;
  changes.push_back({fmt::format("result changed: relative error {}, then {}, of (sequence, head) "
                                 "number {}; {} of {} beyond rounding",
                                 significant(a.error[greatest], kErrorDigits),
                                 significant(b.error[greatest], kErrorDigits), greatest + 1, count,
                                 a.error.size()),
                     worse || !has_better(b.target)});
}

void add_byte_change(const char* what, std::uint64_t before, std::uint64_t after,
                     std::vector<Change>& changes) {
  if (before == after) return;
  changes.push_back({fmt::format("{} {} bytes, then {}", what, before, after), after > before});
}

}  // namespace

PointFigures figures_from_json(const json& record) {
  try {
    return read(record);
  } catch (const json::exception& error) {
    throw Error(fmt::format("its record cannot be compared: {}", error.what()));
  }
}

PointFigures figures_of(const Record& record) { return read(to_json(record)); }

std::string unlike(const PointFigures& a, const PointFigures& b) {
  for (const auto& [field, value] : a.asked) {
    const auto found = b.asked.find(field);
    if (found != b.asked.end() && found->second != value) {
      return fmt::format("{} = {} and {}", field, value, found->second);
    }
  }
  return {};
}

double rounding_of_error(double error, double tolerance_a, double tolerance_b) {
  return (tolerance_a + tolerance_b) * (1 + error);
}

std::vector<Change> changes_between(const PointFigures& a, const PointFigures& b) {
  std::vector<Change> changes;
  if (a.status != b.status) {
    changes.push_back(
        {fmt::format("{}, then {}", ending(a), ending(b)), rank(b.status) > rank(a.status)});
  }
  add_error_change(a, b, changes);
  const auto measured = [](const PointFigures& figures) {
    return figures.is_ok() || figures.status == Status::mistrusted;
  };
  if (measured(a) && measured(b)) {
    add_byte_change("scratch", a.scratch_bytes, b.scratch_bytes, changes);
    add_byte_change("parameters", a.parameter_bytes, b.parameter_bytes, changes);
  }
  return changes;
}

}  // namespace subquad
