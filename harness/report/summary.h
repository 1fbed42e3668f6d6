#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "records/record.h"
#include "report/budget.h"
#include "report/estimate.h"
#include "report/frontier.h"
#include "report/quality.h"
#include "report/report.h"
#include "report/scaling.h"
#include "report/spread.h"

namespace subquad {

/// What a variant makes of the machine, as in `Roofline`.
struct RowRoofline {
  double peak_gflops = 0, bf16_peak_gflops = 0;  ///< measured beside it
  Estimate useful_share, executed_share, attainable_share;
  double intensity = 0, attainable_gflops = 0;
};

/// One variant in a table: the records of its seeds and what they come to. Figures that were not
/// taken, or that the status forbids to print, are empty.
struct Row {
  std::vector<const Record*> records;  ///< one per seed, in order of seeds; never empty
  Status status = Status::failed;      ///< `ok` if any seed ended well and none is mistrusted
  std::string remark;                  ///< reasons and seeds that did not end well; may be empty
  bool stale = false;
  bool sampled = false;
  /// Why its times are not to be relied on; empty if nothing speaks against them (rounds.h).
  std::string instability;

  std::optional<Estimate> time_ns;     ///< of a forward pass, or of a decoded token
  std::optional<double> processor_ns;  ///< likewise: of all threads together, median over rounds
  /// Median over rounds of the anchor's time over the variant's in the same round.
  std::optional<Estimate> speed_up;
  std::optional<double> useful_flops, executed_flops;  ///< per second, 2 per multiply-add
  std::optional<RowRoofline> roofline;                 ///< where the peak was measured
  /// Measured speed-up over the one that useful multiply-adds predict.
  std::optional<double> efficiency;
  std::optional<double> scratch_bytes;    ///< arenas, and what was allocated beside them
  std::optional<double> state_bytes;      ///< of a decoder
  std::optional<double> parameter_bytes;  ///< learned and random tensors
  std::uint64_t heap_allocations = 0, heap_bytes = 0, heap_kept_bytes = 0;  ///< most of any seed
  std::optional<Estimate> error;  ///< relative error against plain dense
  /// Standard error of one head's error, where it is estimated from a sample of query rows.
  std::optional<double> error_deviation;
  std::optional<Estimate> target_error;  ///< against the variant's own dense target
  std::optional<Estimate> dropped_mass;
  /// Output rows whose weights summed to less than 0, of how many, over all seeds; empty if nobody
  /// counted.
  std::optional<double> negative_denominators;
  double output_rows = 0;
  Qualities quality;             ///< of a model's answers
  std::optional<Spread> spread;  ///< where there are several seeds or draws

  const Record& first() const { return *records.front(); }
  bool decodes() const { return first().decodes(); }
  /// Those that have figures.
  std::vector<const Record*> finished() const;
};

/// Rows that can be compared (selection.h). The anchor comes first, with its group of target; then
/// targets in the order of `Target`, each sorted by time.
struct Table {
  std::vector<Row> rows;
  const Record& first() const { return rows.front().first(); }
  bool decodes() const { return first().decodes(); }
  /// Variant that speed-ups are over; empty without one.
  std::string anchor;
  Frontier frontier;
  /// Figures of the exact attention matrices by key (attention_figures.h), over heads and seeds,
  /// the records that hold them, and the query rows per head they are of; empty if not taken.
  std::map<std::string, Estimate> attention;
  std::vector<const Record*> attention_records;
  std::int64_t attention_rows = 0;
  std::optional<BudgetResult> budget;
};

struct Summary {
  std::vector<Table> tables;         ///< in the order in which their first records appear
  std::vector<Series> scaling;       ///< what was measured at several lengths
  std::vector<std::string> notices;  ///< what was left out, and why; staleness
  bool several_machines = false;
  ReportOptions options;
};

/// Points into `records`, which must outlive it.
Summary summarise(const std::vector<Record>& records, const ReportOptions& options);

/// Median over sequences and seeds of each head's relative error; empty where none was taken.
std::vector<double> errors_by_head(const Row& row);
/// Any metric of `Record::error` (metrics.h): median over seeds of the median over heads, with the
/// range over all of them; empty if it was not taken.
std::optional<Estimate> metric_of(const Row& row, std::string_view metric);

/// What the figures of a group of rows mean: "operation: computes something else by design; ...".
std::string target_heading(const std::string& target);

}  // namespace subquad
