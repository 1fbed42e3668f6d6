// Rules on values: a figure against a formula, a bound, another row, the published one.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "measuring/metrics.h"
#include "report/models.h"
#include "report/units.h"
#include "reproducing/rules.h"
#include "subquad/error.h"

namespace subquad {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Bounds {
  double least = -kInfinity, most = kInfinity;

  explicit Bounds(JsonFields& fields)
      : least(fields.maybe_number("least").value_or(-kInfinity)),
        most(fields.maybe_number("most").value_or(kInfinity)) {
    if (least == -kInfinity && most == kInfinity) fields.fail("has neither least nor most");
  }
  bool hold(double value) const { return value >= least && value <= most; }
  std::string text() const {
    if (least == -kInfinity) return fmt::format("at most {}", significant(most));
    if (most == kInfinity) return fmt::format("at least {}", significant(least));
    return fmt::format("from {} to {}", significant(least), significant(most));
  }
};

/// First less second, head by head, of seeds that both rows have.
std::vector<double> paired_differences(const Row& first, const Row& second,
                                       const std::string& metric) {
  std::vector<double> differences;
  for (const Record* a : first.finished()) {
    for (const Record* b : second.finished()) {
      const auto of_a = a->error.find(metric), of_b = b->error.find(metric);
      if (a->seed != b->seed || of_a == a->error.end() || of_b == b->error.end()) continue;
      const std::size_t heads = std::min(of_a->second.size(), of_b->second.size());
      for (std::size_t head = 0; head < heads; ++head) {
        differences.push_back(of_a->second[head] - of_b->second[head]);
      }
    }
  }
  return differences;
}

struct MeanError {
  double mean = 0, error = 0;  ///< and its standard error
};

/// Of two values or more, drawn independently.
MeanError mean_error(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (count - 1) / count)};
}

void add_numbers_left(const CellView& cell, Variables& variables) {
  const std::vector<PublishedValue>& values = cell.panel.rows[cell.row].values;
  double sum = 0, count = 0;
  for (std::size_t column = 0; column < cell.column; ++column) {
    if (!values[column].number) continue;
    sum += *values[column].number;
    ++count;
  }
  if (count > 0) variables.push_back({kMeanLeft, sum / count});
  if (cell.column > 0 && values[cell.column - 1].number) {
    variables.push_back({kPrevious, *values[cell.column - 1].number});
  }
}

std::string in_unit(double value, const CellView& cell, const std::string& figure) {
  const MeasuredFigure& kind =
      find_measured_figure(figure.empty() ? cell.selector().figure.value() : figure);
  const std::string text = significant(value / kind.unit_size, 4);
  return *kind.unit == '\0' ? text : text + " " + kind.unit;
}

}  // namespace

/// `formula`: of the published number, in its unit; it may also name `previous`, the published
/// number left of it, and `mean_left`, the mean of all of them. `within`: absolute. `misprint`: why
/// the printed number is known to be another one than the formula's; the cell then asks for just
/// that.
Rule formula_rule(JsonFields& fields) {
  const std::string formula = fields.text("formula");
  const std::string misprint = fields.text("misprint", "");
  const double within = fields.number("within");
  Rule rule;
  rule.formula = formula;
  rule.text = fmt::format("published = {} within {}", formula, within);
  if (!misprint.empty()) rule.text = "a misprint, so not " + rule.text;
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const auto published = cell.published();
    if (!published) return std::nullopt;
    Variables variables = cell.table.formula_variables(cell.panel, cell.row, cell.column);
    add_numbers_left(cell, variables);
    const double value = cell.table.value_of(formula, variables);
    const bool agrees = std::abs(value - *published) <= within;
    const std::string text = fmt::format("the formula gives {}", significant(value, 6));
    if (misprint.empty()) return Finding{agrees, text};
    return Finding{!agrees, fmt::format("{}, {} is printed: {}", text, *published, misprint), true};
  };
  return rule;
}

/// `formula`: over the record's own problem, in base units (bytes, multiply-adds); `within`:
/// relative.
Rule equals_rule(JsonFields& fields) {
  const std::string formula = fields.text("formula"), figure = read_figure(fields);
  const double within = fields.number("within");
  Rule rule;
  rule.formula = formula;
  rule.text = fmt::format("measured{} = {} within {:g} %", figure.empty() ? "" : " " + figure,
                          formula, 100 * within);
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const Row* row = cell.report_row();
    const auto value = cell.value(figure);
    if (row == nullptr || !value) return std::nullopt;
    Variables variables = variables_of_record(row->first());
    for (const Variables* more :
         {&cell.panel.rows[cell.row].variables, &cell.panel.columns[cell.column].variables}) {
      variables.insert(variables.end(), more->begin(), more->end());
    }
    const double wanted = cell.table.value_of(formula, variables);
    return Finding{std::abs(*value - wanted) <= within * std::abs(wanted),
                   fmt::format("{} where the formula gives {}", in_unit(*value, cell, figure),
                               in_unit(wanted, cell, figure))};
  };
  return rule;
}

/// `least`, `most`: of the figure, in base units.
Rule bound_rule(JsonFields& fields) {
  const std::string figure = read_figure(fields);
  const Bounds bounds(fields);
  Rule rule;
  rule.text = fmt::format("{} {}", figure.empty() ? "measured" : figure, bounds.text());
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const auto value = cell.value(figure);
    if (!value) return std::nullopt;
    return Finding{bounds.hold(*value),
                   "is " + (cell.selector().exponent_in ? significant(*value)
                                                        : in_unit(*value, cell, figure))};
  };
  return rule;
}

/// `over`: a row; `least`, `most`: of its figure over this one's in the same column.
Rule ratio_rule(JsonFields& fields) {
  const std::string over = fields.text("over"), figure = read_figure(fields);
  const Bounds bounds(fields);
  Rule rule;
  rule.text = fmt::format("{} has {} times {}", over, bounds.text(),
                          figure.empty() ? "as much" : "the " + figure);
  rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const auto ratio = ratio_over(cell, row_named(cell.panel, over), figure);
    if (!ratio) return std::nullopt;
    return Finding{bounds.hold(*ratio),
                   fmt::format("{} has {} times as much", over, significant(*ratio))};
  };
  return rule;
}

/// `over`: a row; `figure`: of work; `least`: share of the ratio of that work, row `over` to this
/// one, that the ratio of times comes to.
Rule work_ratio_rule(JsonFields& fields) {
  const std::string over = fields.text("over"), figure = read_figure(fields);
  if (figure.empty()) fields.fail("of kind work_ratio names no figure");
  const double least = fields.number("least");
  Rule rule;
  rule.text =
      fmt::format("faster than {} by at least {} of the ratio of their {}", over, least, figure);
  rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const std::size_t other = row_named(cell.panel, over);
    const auto times = ratio_over(cell, other, "time"), work = ratio_over(cell, other, figure);
    if (!times || !work) return std::nullopt;
    return Finding{*times >= least * *work,
                   fmt::format("{} takes {} times as long, with {} times the {}", over,
                               significant(*times), significant(*work), figure)};
  };
  return rule;
}

/// `over`: a row; `metric`: of errors against dense, `errors` below. This row's lies above the
/// other's by more than `errors` standard errors of the mean difference, over all heads of all
/// seeds.
Rule paired_rule(JsonFields& fields) {
  const std::string over = fields.text("over"), metric = fields.text("metric");
  const double errors = fields.number("errors");
  try {
    find_metric(metric);
  } catch (const Error& error) {
    fields.fail(error.what());
  }
  Rule rule;
  rule.text = fmt::format("{} above that of {} by more than {} standard errors, paired", metric,
                          over, errors);
  rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    const Row* mine = cell.report_row();
    const Row* other =
        cell.measured.find(cell.panel.selector_of(row_named(cell.panel, over), cell.column));
    if (mine == nullptr || other == nullptr) return std::nullopt;
    const std::vector<double> gains = paired_differences(*mine, *other, metric);
    if (gains.size() < 2) return std::nullopt;
    const MeanError gain = mean_error(gains);
    return Finding{gain.mean > errors * gain.error,
                   fmt::format("is above {} by {} ± {} over {} heads", over, significant(gain.mean),
                               significant(gain.error), gains.size())};
  };
  return rule;
}

/// `factor`: by which a ratio may differ from the published one either way. The ratio is that of
/// row `over` to this one; without `over` the figure must be a ratio itself.
Rule like_published_rule(JsonFields& fields) {
  const std::string over = fields.text("over", "");
  const double factor = fields.number("factor");
  if (!(factor >= 1)) fields.fail(fmt::format("factor = {} is less than 1", factor));
  Rule rule;
  rule.text = over.empty() ? fmt::format("within {} x of the published figure", factor)
                           : fmt::format("{} over this row, within {} x of the published ratio",
                                         over, factor);
  rule.needs_ratios = over.empty();
  if (!over.empty()) rule.rows = {over};
  rule.judge = [=](const CellView& cell) -> std::optional<Finding> {
    auto published = cell.published();
    std::optional<double> found;
    if (over.empty()) {
      found = cell.value();
    } else {
      const std::size_t other = row_named(cell.panel, over);
      const auto& above = cell.panel.rows[other].values[cell.column].number;
      if (published && above) published = *above / *published;
      if (!above) published.reset();
      found = ratio_over(cell, other, "");
    }
    if (!published || !found || !(*published > 0) || !(*found > 0)) return std::nullopt;
    const double off = std::max(*found / *published, *published / *found);
    return Finding{off <= factor, fmt::format("{} here, {} published", significant(*found),
                                              significant(*published))};
  };
  return rule;
}

/// `least`: Spearman's correlation of measured and published numbers, over the cells of `column`,
/// or of all cells.
Rule rank_correlation_rule(JsonFields& fields) {
  const std::string column = fields.text("column", "");
  const double least = fields.number("least");
  Rule rule;
  if (!column.empty()) rule.columns = {column};
  rule.text = fmt::format("rank correlation with the published figures of {} at least {}",
                          column.empty() ? "all cells" : column, least);
  rule.judge = [=](const CellView& view) -> std::optional<Finding> {
    std::vector<double> found, published;
    for (std::size_t j = 0; j < view.panel.columns.size(); ++j) {
      if (!column.empty() && view.panel.columns[j].name != column) continue;
      for (std::size_t i = 0; i < view.panel.rows.size(); ++i) {
        const auto value = view.value_at(i, j);
        const auto& printed = view.panel.rows[i].values[j].number;
        if (!value || !printed) continue;
        found.push_back(*value);
        published.push_back(*printed);
      }
    }
    const auto correlation = rank_correlation(found, published);
    if (!correlation) return std::nullopt;
    return Finding{*correlation >= least,
                   fmt::format("is {} over {} cells", significant(*correlation), found.size())};
  };
  return rule;
}

}  // namespace subquad
