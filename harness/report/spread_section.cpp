#include "report/grid.h"
#include "report/units.h"

namespace subquad {
namespace {

std::string deviation_cell(const std::optional<Deviation>& deviation) {
  if (!deviation) return kNoFigure;
  return deviation->negative ? "0 (<0)" : significant(deviation->value, 2);
}

std::string percent_cell(const std::optional<Deviation>& deviation) {
  if (!deviation) return kNoFigure;
  return deviation->negative ? "0 (<0)" : significant(100 * deviation->value, 2) + "%";
}

Grid::Line make_line(const Row& row, std::vector<std::string>& notes) {
  const Spread& spread = *row.spread;
  Grid::Line line;
  line.name = shown(row.first().variant);
  line.cells = {std::to_string(row.first().problem.keys),
                std::to_string(spread.seeds),
                std::to_string(spread.draws),
                significant(spread.error),
                deviation_cell(spread.method_error),
                deviation_cell(spread.input_error),
                percent_cell(spread.timing_time),
                percent_cell(spread.input_time)};
  if (spread.method_in_input) {
    line.notes.push_back(
        note_number(notes, "one draw per seed: the input's part holds the method's as well"));
  }
  return line;
}

bool has_spread(const Row& row) { return row.spread.has_value(); }

Grid make_grid(const std::vector<const Table*>& tables, const Summary& summary) {
  Grid grid = grid_over_lengths(tables, summary);
  grid.columns = {{"", "n"},           {"", "seeds"},        {"", "draws"},
                  {"mean", "error"},   {"error:", "method"}, {"error:", "input"},
                  {"time:", "timing"}, {"time:", "input"}};
  for (const Row* row : rows_over_lengths(tables, has_spread)) {
    add_to_group(grid, row->first().target, make_line(*row, grid.notes));
  }
  return grid;
}

}  // namespace

Section spread_section(const Summary& summary) {
  Section section;
  section.heading = "Where the spread comes from";
  for (const auto& tables : tables_over_lengths(summary.tables)) {
    Grid grid = make_grid(tables, summary);
    if (!grid.groups.empty()) section.grids.push_back(std::move(grid));
  }
  section.legend = {
      "Standard deviations, by a one-way random effects model. Of one head's relative error: "
      "method, between draws of the variant's tensors on one input; input, between seeds. Of the "
      "time over the anchor's (the anchor's: of its time), in percent of it: timing, between "
      "rounds; input, between seeds. 0 (<0): the estimate of the variance is negative, so too "
      "small to be seen beside the other part. –: not measured with several of these."};
  return section;
}

}  // namespace subquad
