#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "subquad/view.h"

namespace subquad {

struct CellView;
struct Panel;

/// What a rule says of a cell: whether it holds, and what was found ("grows with n^2.31 from 4096
/// on").
struct Finding {
  bool holds = false;
  std::string text;
  bool always_told = false;  ///< also where it holds
};

/// What rules are about: `published` ones hold a published number against a formula of its paper,
/// `measured` ones judge what was measured here, `panel` ones a panel as a whole.
enum class RuleScope { published, measured, panel };

/// One rule of a table.
struct Rule {
  RuleScope scope = RuleScope::measured;
  std::string text;               ///< what it asks for, as a clause
  bool for_exponents = false;     ///< applies to cells that hold exponents
  bool needs_ratios = false;      ///< only figures without a unit may be held against it
  std::vector<std::string> rows;  ///< names of rows that it needs
  std::string formula;            ///< that it evaluates
  std::string known;              ///< why a claim does not hold, shown where it does not
  // Which cells it is for, by their column.
  Index from = 0, to = std::numeric_limits<Index>::max();  ///< of its length
  std::vector<std::string> columns;                        ///< names; empty: all
  /// Nothing where it does not apply, or where what it needs was not measured.
  std::function<std::optional<Finding>(const CellView&)> judge;

  bool is_for(const Panel& panel, std::size_t row, std::size_t column) const;
};

}  // namespace subquad
