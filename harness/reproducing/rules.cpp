// The table of kinds, and what rules share.

#include "reproducing/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "expressions/settings.h"
#include "measuring/statistics.h"
#include "report/rounds.h"
#include "subquad/error.h"

namespace subquad {
namespace {

const RuleKind& kind_named(const std::string& name, const JsonFields& fields) {
  std::vector<std::string> names;
  for (const RuleKind& kind : rule_kinds()) {
    if (name == kind.name) return kind;
    names.emplace_back(kind.name);
  }
  fields.fail("has an unknown kind '" + name + "'" + suggestion(name, names));
}

bool is_timed(const CellView& cell, const std::string& figure) {
  const std::string key = figure.empty() ? cell.selector().figure.value() : figure;
  const MeasuredFigure& kind = find_measured_figure(key);
  return kind.timed && !kind.dimensionless;  // a speed-up is a ratio of times already
}

}  // namespace

const std::vector<RuleKind>& rule_kinds() {
  using enum RuleScope;
  static const std::vector<RuleKind> kKinds = {
      {"formula", published, "a formula of the paper's program gives the published number",
       formula_rule},
      {"slope", measured, "from one length to the next the figure grows as a law does", slope_rule},
      {"law", measured, "a fitted exponent is that of a law over the same points", law_rule},
      {"power", measured, "the figure grows with a power of a variable of the columns", power_rule},
      {"crossover", measured, "from a length on certainly less than another row", crossover_rule},
      {"monotone", measured, "no less, or no more, than the cell before", monotone_rule},
      {"equals", measured, "the figure is what a formula of our own says", equals_rule},
      {"bound", measured, "the figure lies between bounds", bound_rule},
      {"ratio", measured, "another row's figure over this one's lies between bounds", ratio_rule},
      {"paired", measured, "certainly above another row's, head by head and seed by seed",
       paired_rule},
      {"work_ratio", measured, "faster than another row by a share of what it has less work",
       work_ratio_rule},
      {"like_published", measured, "a ratio is within a factor of the published one",
       like_published_rule},
      {"rank_correlation", panel, "measured and published figures have the same order",
       rank_correlation_rule},
  };
  return kKinds;
}

Rule read_rule(JsonFields fields, bool of_panel) {
  const RuleKind& kind = kind_named(fields.text("kind"), fields);
  if ((kind.scope == RuleScope::panel) != of_panel) {
    fields.fail(fmt::format("of kind {} belongs {}", kind.name,
                            of_panel ? "to rules, not to claims" : "to claims, not to rules"));
  }
  Rule rule = kind.make(fields);
  rule.scope = kind.scope;
  if (of_panel) {
    rule.known = fields.text("known", "");
  } else {
    rule.columns = fields.texts("columns");
  }
  if (fields.has("from")) rule.from = fields.whole("from", 1);
  if (fields.has("to")) rule.to = fields.whole("to", 1);
  fields.done();
  return rule;
}

bool Rule::is_for(const Panel& panel, std::size_t row, std::size_t column) const {
  const std::string& name = panel.columns[column].name;
  const bool named = std::find(columns.begin(), columns.end(), name) != columns.end();
  if (!columns.empty()) return named;
  const Selector selector = panel.selector_of(row, column);
  if (selector.exponent_in.has_value() != for_exponents) return false;
  if (for_exponents) return true;
  const bool bounded = from > 0 || to < std::numeric_limits<Index>::max();
  if (!selector.length) return !bounded;
  return *selector.length >= from && *selector.length <= to;
}

std::optional<double> CellView::value(const std::string& figure) const {
  return value_at(row, column, figure);
}

std::optional<double> CellView::value_at(std::size_t at_row, std::size_t at_column,
                                         const std::string& figure) const {
  Selector selector = panel.selector_of(at_row, at_column);
  if (!figure.empty()) selector.figure = figure;
  if (selector.figure == kPrinted) return std::nullopt;
  if (selector.figure == kComputed) return computed_value(table, panel, at_row, at_column);
  return measured_value(measured, selector);
}

std::string read_figure(JsonFields& fields) {
  const std::string figure = fields.text("figure", "");
  try {
    if (!figure.empty()) find_measured_figure(figure);
  } catch (const Error& error) {
    fields.fail(error.what());
  }
  return figure;
}

std::size_t row_named(const Panel& panel, const std::string& name) {
  std::vector<std::string> names;
  for (const PublishedRow& row : panel.rows) {
    if (row.name == name) return names.size();
    names.push_back(row.name);
  }
  throw Error("a rule names an unknown row '" + name + "'" + suggestion(name, names));
}

std::optional<double> ratio_over(const CellView& cell, std::size_t other,
                                 const std::string& figure) {
  const auto above = cell.value_at(other, cell.column, figure);
  const auto below = cell.value(figure);
  if (!above || !below || !(*below > 0)) return std::nullopt;
  if (is_timed(cell, figure) && !cell.selector().exponent_in) {
    const Row* numerator = cell.measured.find(cell.panel.selector_of(other, cell.column));
    const std::vector<double> ratios =
        paired_ratios(numerator->finished(), cell.report_row()->finished());
    if (!ratios.empty()) return median(ratios);
  }
  return *above / *below;
}

double law_power(const std::string& law, const std::vector<std::pair<Index, const Row*>>& points,
                 Axis axis, const PublishedTable& table) {
  std::vector<std::pair<Index, double>> values;
  for (const auto& [place, row] : points) {
    Variables variables = variables_of_record(row->first());
    const double value = table.value_of(law, variables);
    if (!(value > 0)) throw Error(fmt::format("law '{}' is {} and not positive", law, value));
    values.emplace_back(axis == Axis::length ? row->first().problem.keys : row->first().problem.dim,
                        value);
  }
  return exponent_of(values).value;
}

}  // namespace subquad
