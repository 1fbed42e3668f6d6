#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layers/layer.h"
#include "report/grid.h"
#include "report/selection.h"

namespace subquad {
namespace {

std::string exponent_cell(const std::optional<Exponent>& exponent) {
  if (!exponent) return kNoFigure;
  // No "-0.00" where nothing grows.
  const double value = std::abs(exponent->value) < 0.005 ? 0 : exponent->value;
  std::string text = fmt::format("{:.2f}", value);
  return exponent->margin ? text + fmt::format(" ±{:.2f}", *exponent->margin) : text;
}

/// Without an interval: counts have no noise.
std::string counted_cell(const std::optional<Exponent>& exponent) {
  if (!exponent) return kNoFigure;
  return exponent_cell(Exponent{exponent->value, std::nullopt, std::nullopt});
}

std::string last_step_cell(const std::optional<Exponent>& exponent) {
  if (!exponent || !exponent->last_step) return kNoFigure;
  return exponent_cell(Exponent{exponent->last_step->value, std::nullopt, std::nullopt});
}

Grid make_grid(const Series& series, const Summary& summary) {
  Record shape = *series.record;
  // Where the queries are the last of the keys their place grows with the length.
  if (setting_over_lengths(shape).first_query < 0) shape.problem.first_query = 0;
  Grid grid;
  grid.title = title_of(*series.record, series.lengths, summary);
  grid.shape = shape_of(shape, series.anchor);
  const bool decodes = series.record->decodes();
  grid.columns = {
      {decodes ? "time per token ~ n^" : "time ~ n^", "exponent"}, {"its last", "step"},
      {decodes ? "its work ~ n^" : "work ~ n^", "exponent"},       {"its last", "step"},
      {decodes ? "state ~ n^" : "scratch ~ n^", "exponent"},       {"its last", "step"}};
  const bool parameters = std::any_of(series.trends.begin(), series.trends.end(),
                                      [](const Trend& trend) { return trend.parameters; });
  if (parameters) grid.columns.push_back({"params", "~ n^"});
  if (!series.anchor.empty()) grid.columns.push_back({"faster than", shown(series.anchor)});
  for (const Trend& trend : series.trends) {
    Grid::Line line;
    line.name = shown(trend.record->variant);
    line.cells = {exponent_cell(trend.time),   last_step_cell(trend.time),
                  counted_cell(trend.work),    last_step_cell(trend.work),
                  exponent_cell(trend.memory), last_step_cell(trend.memory)};
    if (parameters) line.cells.push_back(counted_cell(trend.parameters));
    if (!series.anchor.empty())
      line.cells.push_back(trend.crossover ? crossover_text(*trend.crossover) : kNoFigure);
    // Of the yardstick itself everybody knows.
    if (trend.is_quadratic() && trend.record->target != to_string(Target::exact)) {
      line.notes.push_back(note_number(
          grid.notes, "not sub-quadratic: its useful work grows as that of dense attention does"));
    }
    if (trend.lengths != series.lengths) {
      line.notes.push_back(
          note_number(grid.notes, fmt::format("over n = {} alone", fmt::join(trend.lengths, " "))));
    }
    add_to_group(grid, trend.record->target, std::move(line));
  }
  return grid;
}

}  // namespace

Section scaling_section(const Summary& summary) {
  Section section;
  section.heading = "Scaling: how time, useful work and memory grow with the length n";
  for (const Series& series : summary.scaling) section.grids.push_back(make_grid(series, summary));
  section.legend = {
      "Exponent: slope of log(median time), log(useful multiply-adds), log(scratch) or log(state) "
      "over log(n), by least squares through all lengths; parameters: learned and random tensors; "
      "±: its 95% interval (Student's t, from "
      "three lengths "
      "on). Last step: the same between the longest length and the longest of at most half of it.",
      "Faster than the anchor: where the 95% interval of the speed-up lies above 1 (not: below 1; "
      "undecided: it holds 1, or fewer than six rounds). Between measured lengths; nothing is "
      "extrapolated."};
  return section;
}

}  // namespace subquad
