#pragma once

#include <optional>
#include <string>
#include <vector>

#include "records/record.h"

namespace subquad {

enum class ReportFormat { text, markdown, csv, json, latex };
const char* to_string(ReportFormat format);
/// Throws Error naming the known ones.
ReportFormat report_format_from_string(const std::string& text);

/// What a user can afford; what is not given is not limited.
struct Budget {
  std::optional<double> max_error;     ///< relative error against dense, median over heads
  std::optional<double> memory_bytes;  ///< scratch, heap, state and parameters together
};

struct ReportOptions {
  ReportFormat format = ReportFormat::text;
  /// Builds (`Record::build`) whose figures count as today's; records of others are marked stale.
  /// Empty: every build but those that later ones measured points of again.
  std::vector<std::string> builds;
  bool details = false;  ///< also what most readers can do without: where the spread comes from
  /// Instead of the tables, what meets a budget and what does not (in `json` beside them, not in
  /// `csv`).
  std::optional<Budget> budget;
  // Which records count at all; empty: every one.
  std::optional<bool> causal;
  std::vector<Index> lengths;
};

/// Tables of what records say, one per machine, input, shape, mask and number of threads, with rows
/// grouped by target, and how time and memory grow over lengths; in `csv` one line per raw figure,
/// in base units. Of several records of one point the last counts, of today's builds if there are
/// any; the report says how many it left out. Records of one variant under several seeds are one
/// row: median over seeds and range over seeds. Without records the text says so (JSON: no tables;
/// CSV: the header alone). docs/statistics.md defines every figure.
std::string report(const std::vector<Record>& records, const ReportOptions& options = {});

}  // namespace subquad
