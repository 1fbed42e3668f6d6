#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reproducing/json_fields.h"
#include "reproducing/measured.h"
#include "reproducing/published.h"
#include "reproducing/rule.h"

namespace subquad {

/// A cell as a rule sees it, with the table around it.
struct CellView {
  const PublishedTable& table;
  const Panel& panel;
  const Measurements& measured;
  std::size_t row = 0, column = 0;

  Selector selector() const { return panel.selector_of(row, column); }
  /// Its own figure, or that of another cell of the panel; another figure where `figure` is given.
  std::optional<double> value(const std::string& figure = {}) const;
  std::optional<double> value_at(std::size_t row, std::size_t column,
                                 const std::string& figure = {}) const;
  /// The row of the report behind a cell; null where nothing was measured.
  const Row* report_row() const { return measured.find(selector()); }
  std::optional<double> published() const { return panel.rows[row].values[column].number; }
};

/// A kind of rule: reads its own keys from the file and returns a rule.
struct RuleKind {
  const char* name;
  RuleScope scope;
  const char* doc;
  Rule (*make)(JsonFields& fields);
};
/// All kinds: the only list of them.
const std::vector<RuleKind>& rule_kinds();

/// A rule of a file: `kind`, what that kind reads, `from`, `to` and `columns`. Error for anything
/// else, and for a rule of the other scopes.
Rule read_rule(JsonFields fields, bool of_panel);

// One function for each kind; docs/reproduce.md says what each asks for.
Rule formula_rule(JsonFields& fields);
Rule slope_rule(JsonFields& fields);
Rule law_rule(JsonFields& fields);
Rule power_rule(JsonFields& fields);
Rule crossover_rule(JsonFields& fields);
Rule monotone_rule(JsonFields& fields);
Rule equals_rule(JsonFields& fields);
Rule bound_rule(JsonFields& fields);
Rule ratio_rule(JsonFields& fields);
Rule paired_rule(JsonFields& fields);
Rule work_ratio_rule(JsonFields& fields);
Rule like_published_rule(JsonFields& fields);
Rule rank_correlation_rule(JsonFields& fields);

/// Names of published numbers in a `formula` rule: the one to the left, and the mean of all those.
inline constexpr const char* kPrevious = "previous";
inline constexpr const char* kMeanLeft = "mean_left";

/// What rules share.
/// The figure that a rule names in place of the cell's; empty for none.
std::string read_figure(JsonFields& fields);
std::size_t row_named(const Panel& panel, const std::string& name);  ///< Error for none
/// The figure of another row over this one's in the same column: of times round by round, where
/// both were measured together.
std::optional<double> ratio_over(const CellView& cell, std::size_t other,
                                 const std::string& figure);
/// The power with which a positive law grows from one point to another along an axis.
double law_power(const std::string& law, const std::vector<std::pair<Index, const Row*>>& points,
                 Axis axis, const PublishedTable& table);

}  // namespace subquad
