#pragma once

#include <optional>
#include <string>
#include <vector>

#include "records/record.h"
#include "report/report.h"

namespace subquad {

/// A figure and its spread. Over rounds [low, high] is the order-statistic interval of the median,
/// over heads and over seeds it is the range.
struct Estimate {
  double median = 0, low = 0, high = 0;
  double coverage = 0;  ///< of an interval of the median; 0 for a range
};

/// One variant in a table: the records of its seeds and what they come to. Figures that were not
/// taken, or that the status forbids to print, are empty.
struct Row {
  std::vector<const Record*> records;  ///< one per seed, in order of seeds; never empty
  Status status = Status::failed;      ///< `ok` if any seed ended well and none is mistrusted
  std::string remark;                  ///< reasons and seeds that did not end well; may be empty
  bool stale = false;
  bool sampled = false;

  std::optional<Estimate> time_ns;
  /// Median over rounds of the anchor's time over the variant's in the same round.
  std::optional<Estimate> speed_up;
  std::optional<double> useful_flops, executed_flops;  ///< per second, 2 per multiply-add
  /// Measured speed-up over the one that useful multiply-adds predict.
  std::optional<double> efficiency;
  std::optional<double> scratch_bytes;
  std::optional<double> parameter_bytes;  ///< learned and random tensors
  std::optional<Estimate> error;          ///< relative error against plain dense
  std::optional<Estimate> target_error;   ///< against the variant's own dense target
  std::optional<Estimate> dropped_mass;

  const Record& first() const { return *records.front(); }
};

/// Rows that can be compared: same input, shape, mask, threads and direction. The anchor comes
/// first, with its group of target; then targets in the order of `Target`, each sorted by time.
struct Table {
  std::vector<Row> rows;
  const Record& first() const { return rows.front().first(); }
  /// Variant that speed-ups are over; empty without one.
  std::string anchor;
};

struct Summary {
  std::vector<Table> tables;         ///< in the order in which their first records appear
  std::vector<std::string> notices;  ///< what was left out, and why; staleness
};

/// Points into `records`, which must outlive it.
Summary summarise(const std::vector<Record>& records, const ReportOptions& options);

/// What the figures of a group of rows mean: "operation: computes something else by design; ...".
std::string target_heading(const std::string& target);

}  // namespace subquad
