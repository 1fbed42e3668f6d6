#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "records/record.h"

namespace subquad {

/// What two sides are compared in beside their times: none of it depends on luck.
struct PointFigures {
  int schema = 0;  ///< of the record
  Status status = Status::failed;
  std::string reason;
  std::string target;  ///< as in a record
  /// What was measured, by field of the record.
  std::map<std::string, std::string> asked;
  std::vector<double> error;  ///< headline figure against plain dense, per (sequence, head)
  std::int64_t reference_rows = 0;
  double arithmetic_tolerance = 0;
  /// Temporary memory as in a report's tables, and a decoder's state. Arenas count as they were
  /// declared where there are several threads: one that finds nothing to do takes nothing.
  std::uint64_t scratch_bytes = 0;
  std::uint64_t parameter_bytes = 0;  ///< learned and random tensors

  bool is_ok() const { return status == Status::ok; }
};

/// From a record's JSON, by the names of its fields, so that it may be of another schema as long as
/// that has them. Throws Error naming the first that it has not.
PointFigures figures_from_json(const nlohmann::json& record);
PointFigures figures_of(const Record& record);

/// In what the two were not asked the same, as "threads = 1 and 2"; empty if in nothing that both
/// tell.
std::string unlike(const PointFigures& a, const PointFigures& b);

/// Something that is not as it was.
struct Change {
  std::string text;
  bool worse = false;
};

/// Changes of status, error and memory from `a` to `b`. Bytes count exactly, errors beyond
/// rounding. docs/compare.md has the rules.
std::vector<Change> changes_between(const PointFigures& a, const PointFigures& b);

/// How far two errors of at most `error` may lie apart by rounding alone: outputs within
/// `tolerance_a` and `tolerance_b` of what the method defines, relative to their own norm, which is
/// at most 1 + error times that of the exact output.
double rounding_of_error(double error, double tolerance_a, double tolerance_b);

}  // namespace subquad
