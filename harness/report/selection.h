#pragma once

#include <compare>
#include <set>
#include <string>
#include <vector>

#include "records/record.h"
#include "report/report.h"

namespace subquad {

/// What records must share to be compared with one another.
struct Setting {
  std::string machine, input, direction;
  std::int64_t feed_forward = 0, feed_forward_chunk = 0;
  std::string model, replaced;
  Index queries = 0, keys = 0, dim = 0, value_dim = 0;
  bool causal = false;
  Index first_query = 0;
  double scale = 0;  ///< factor of the scores, never 0
  std::int64_t batch = 1, heads = 1, key_heads = 1;
  int threads = 1;

  auto operator<=>(const Setting&) const = default;
};
Setting setting_of(const Record& record);
/// The same for all lengths of one kind of problem: as many queries as keys, or a fixed number of
/// them, the last of the keys or from a fixed place on.
Setting setting_over_lengths(const Record& record);

/// The records that count, of several of one point only the last.
struct Selection {
  std::vector<const Record*> records;  ///< in the order of their points' first appearance
  std::set<std::string> builds;        ///< today's
  std::vector<std::string> notices;    ///< what was left out, and why; staleness

  bool is_current(const Record& record) const { return builds.count(record.build) > 0; }
};

/// Points into `records`, which must outlive it.
Selection select_records(const std::vector<Record>& records, const ReportOptions& options);

}  // namespace subquad
