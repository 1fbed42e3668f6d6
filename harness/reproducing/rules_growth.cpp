// Rules on how a figure grows.

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "report/rounds.h"
#include "report/scaling.h"
#include "report/units.h"
#include "reproducing/rules.h"

namespace subquad {
namespace {

/// The column of the longest measured length below this one's, in the same row.
std::optional<std::size_t> column_before(const CellView& cell, const std::string& figure) {
  const std::optional<Index> length = cell.selector().length;
  std::optional<std::size_t> before;
  Index longest = 0;
  for (std::size_t column = 0; column < cell.panel.columns.size(); ++column) {
    const Selector selector = cell.panel.selector_of(cell.row, column);
    if (!selector.length || selector.exponent_in || !length) continue;
    if (*selector.length >= *length || *selector.length <= longest) continue;
    if (!cell.value_at(cell.row, column, figure)) continue;
    before = column;
    longest = *selector.length;
  }
  return before;
}

std::optional<double> variable_of(const PublishedColumn& column, const std::string& name) {
  for (const Variable& variable : column.variables) {
    if (variable.name == name) return variable.value;
  }
  return std::nullopt;
}

/// The figure, or its ratio to that of row `over`, if it is given.
std::optional<double> value_over(const CellView& cell, const std::string& over,
                                 const std::string& figure) {
  if (over.empty()) return cell.value(figure);
  const auto ratio = ratio_over(cell, row_named(cell.panel, over), figure);
  if (!ratio) return std::nullopt;
  return 1 / *ratio;
}

Finding growth(double found, double wanted, double within, const std::string& where) {
  return {std::abs(found - wanted) <= within,
          fmt::format("grows with power {:.2f} {} (the law: {:.2f})", found, where, wanted)};
}

}  // namespace

/// `law`: formula; `within`: of the power between a measured length and the one before, both of
/// which are in `from` ... `to`; `figure`: in place of the cell's; `over`: a row, whose figure at
/// the same length this one's is divided by, of times round by round.
Rule slope_rule(JsonFields& fields) {
  const std::string law = fields.text("law");
  const double within = fields.number("within");
  const std::string figure = read_figure(fields), over = fields.text("over", "");
  const Index from = fields.has("from") ? fields.whole("from", 1) : 0;
  Rule rule;
  rule.formula = law;
  rule.text = fmt::format("{}{}grows as {} from one length to the next, ±{} in the power",
                          figure.empty() ? "" : figure + " ",
                          over.empty() ? "" : "over that of " + over + " ", law, within);
  if (from > 0) rule.text += fmt::format(", from {} on", from);
  if (!over.empty()) rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const auto before = column_before(cell, figure);
    if (!before) return std::nullopt;
    const Selector lower = cell.panel.selector_of(cell.row, *before);
    CellView lower_cell = cell;
    lower_cell.column = *before;
    const auto value = value_over(cell, over, figure);
    const auto lower_value = value_over(lower_cell, over, figure);
    if (!value || !lower_value || *lower.length < from) return std::nullopt;
    if (!(*lower_value > 0) || !(*value > 0)) return std::nullopt;
    const Index length = *cell.selector().length;
    const double found = exponent_of({{*lower.length, *lower_value}, {length, *value}}).value;
    const double wanted =
        law_power(law, {{*lower.length, cell.measured.find(lower)}, {length, cell.report_row()}},
                  Axis::length, cell.table);
    return growth(found, wanted, within, fmt::format("from {} to {}", *lower.length, length));
  };
  return rule;
}

/// `law`: formula; `within`: of the exponent that the cell holds, fitted over the same points.
Rule law_rule(JsonFields& fields) {
  const std::string law = fields.text("law");
  const double within = fields.number("within");
  Rule rule;
  rule.for_exponents = true;
  rule.formula = law;
  rule.text = fmt::format("grows as {}, ±{} in the fitted power", law, within);
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const Selector selector = cell.selector();
    const auto found = cell.value();
    if (!found || !selector.exponent_in) return std::nullopt;
    const auto points = cell.measured.along(*selector.exponent_in, selector);
    const double wanted = law_power(law, points, *selector.exponent_in, cell.table);
    return growth(*found, wanted, within,
                  fmt::format("from {} to {}", points.front().first, points.back().first));
  };
  return rule;
}

/// `in`: a variable of the columns; `first`, `last`: values of it, between which the power is
/// fitted; `power`, `within`. Judged in the column of `last`.
Rule power_rule(JsonFields& fields) {
  const std::string in = fields.text("in");
  const Index first = fields.whole("first", 1), last = fields.whole("last", first + 1);
  const double power = fields.number("power"), within = fields.number("within");
  Rule rule;
  rule.text = fmt::format("grows with {} to the power of {} ± {}, from {} to {}", in, power, within,
                          first, last);
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    if (variable_of(cell.panel.columns[cell.column], in) != static_cast<double>(last)) {
      return std::nullopt;
    }
    std::map<Index, double> points;
    for (std::size_t column = 0; column < cell.panel.columns.size(); ++column) {
      const auto place = variable_of(cell.panel.columns[column], in);
      const auto value = cell.value_at(cell.row, column);
      if (!place || !value || !(*value > 0)) continue;
      const auto whole = static_cast<Index>(*place);
      if (whole >= first && whole <= last) points.emplace(whole, *value);
    }
    if (points.size() < 2) return std::nullopt;
    const double found = exponent_of({points.begin(), points.end()}).value;
    return Finding{std::abs(found - power) <= within,
                   fmt::format("grows with {} to the power of {:.2f} over {} cells", in, found,
                               points.size())};
  };
  return rule;
}

/// `over`: a row; `by`: a length. From that length on, as far as was measured, this row's times are
/// certainly below the other's (95 % interval over rounds).
Rule crossover_rule(JsonFields& fields) {
  const std::string over = fields.text("over");
  const Index by = fields.whole("by", 1);
  Rule rule;
  rule.text = fmt::format("certainly faster than {} from some length up to {} on", over, by);
  rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    if (cell.selector().length != by) return std::nullopt;
    const std::size_t other = row_named(cell.panel, over);
    std::vector<std::pair<Index, Side>> sides;
    for (std::size_t column = 0; column < cell.panel.columns.size(); ++column) {
      const Selector mine = cell.panel.selector_of(cell.row, column);
      if (!mine.length || mine.exponent_in) continue;
      const Row* a = cell.measured.find(cell.panel.selector_of(other, column));
      const Row* b = cell.measured.find(mine);
      if (a == nullptr || b == nullptr) continue;
      const std::vector<double> ratios = paired_ratios(a->finished(), b->finished());
      if (!ratios.empty()) sides.emplace_back(*mine.length, side_of(ratios, 1));
    }
    if (sides.empty()) return std::nullopt;
    const Crossover crossover = crossover_of(std::move(sides));
    if (!crossover.faster_from)
      return Finding{false, "is at no length certainly faster to the end"};
    return Finding{*crossover.faster_from <= by,
                   fmt::format("is certainly faster from {} on", *crossover.faster_from)};
  };
  return rule;
}

/// `along`: columns or rows; `direction`: up or down; `slack`: relative, by which a step may go the
/// other way.
Rule monotone_rule(JsonFields& fields) {
  const std::string along = fields.text("along"), direction = fields.text("direction");
  if (along != "columns" && along != "rows") fields.fail("along is neither columns nor rows");
  if (direction != "up" && direction != "down") fields.fail("direction is neither up nor down");
  const double slack = fields.maybe_number("slack").value_or(0);
  const bool up = direction == "up", by_column = along == "columns";
  Rule rule;
  rule.text = fmt::format("no {} than the cell {} it", up ? "less" : "more",
                          by_column ? "left of" : "above");
  if (slack > 0) rule.text += fmt::format(", but for {:g} %", 100 * slack);
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const auto value = cell.value();
    std::size_t place = by_column ? cell.column : cell.row;
    std::optional<double> before;
    const bool exponent = cell.selector().exponent_in.has_value();
    while (!before && place > 0) {
      --place;
      const std::size_t row = by_column ? cell.row : place;
      const std::size_t column = by_column ? place : cell.column;
      if (cell.panel.selector_of(row, column).exponent_in.has_value() != exponent) continue;
      before = cell.value_at(row, column);
    }
    if (!value || !before) return std::nullopt;
    const bool holds = up ? *value >= *before * (1 - slack) : *value <= *before * (1 + slack);
    return Finding{holds, fmt::format("is {} times the cell {} it", significant(*value / *before),
                                      by_column ? "left of" : "above")};
  };
  return rule;
}

}  // namespace subquad
