#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reproducing/published.h"
#include "reproducing/rules.h"

namespace subquad {

/// A rule, and what it says.
struct RuleOutcome {
  const Rule* rule = nullptr;
  Finding finding;
};

/// What became of what was measured for a cell.
enum class CellVerdict {
  pass,
  differs,
  shown,  ///< measured, and no rule judges it
  not_measured
};
const char* to_string(CellVerdict verdict);

struct JudgedCell {
  std::optional<double> measured;  ///< in base units
  std::string unit;                ///< of `measured`, as shown
  double unit_size = 1;
  bool computed = false;  ///< by a formula, not measured
  CellVerdict verdict = CellVerdict::not_measured;
  std::string why_not;  ///< why it was not measured, where it should have been
  std::vector<RuleOutcome> formulas, rules;
  std::vector<std::string> reasons;  ///< known ones, where it differs

  bool formulas_hold() const;
};

struct JudgedPanel {
  const Panel* panel = nullptr;
  std::vector<std::vector<JudgedCell>> cells;  ///< by row, then column
  std::vector<RuleOutcome> claims;
};

struct JudgedTable {
  const PublishedTable* table = nullptr;
  std::vector<JudgedPanel> panels;
  double seconds = 0;                ///< that measuring took this time
  bool all_well = true;              ///< every point ended `ok` or `refused`
  std::vector<std::string> notices;  ///< of the report

  struct Counts {
    int formulas_right = 0, formulas = 0;
    int passed = 0, judged = 0;  ///< cells and claims
    int not_measured = 0;        ///< of those with a published value
    int differ_without_reason = 0;
    Counts& operator+=(const Counts& other);
  };
  Counts counts() const;
};

/// Holds a table against what was measured. Both must outlive the result. Throws Error where a cell
/// means several points.
JudgedTable judge(const PublishedTable& table, const Summary& summary);

}  // namespace subquad
