#include "report/grid.h"
#include "report/units.h"

namespace subquad {
namespace {

std::string percent(const Estimate& share) {
  const Estimate in_percent = {100 * share.median, 100 * share.low, 100 * share.high};
  return with_bounds(in_percent);
}

std::string peak_cell(const RowRoofline& roofline) {
  std::string text = significant(roofline.peak_gflops);
  if (roofline.bf16_peak_gflops > 0) text += ", bf16 " + significant(roofline.bf16_peak_gflops);
  return text;
}

Grid::Line make_line(const Row& row, std::vector<std::string>& notes) {
  const RowRoofline& roofline = *row.roofline;
  Grid::Line line;
  line.name = shown(row.first().variant);
  line.cells = {std::to_string(row.first().problem.keys),
                significant(*row.useful_flops / 1e9),
                row.executed_flops ? significant(*row.executed_flops / 1e9) : kNoFigure,
                peak_cell(roofline),
                percent(roofline.useful_share),
                row.executed_flops ? significant(100 * roofline.executed_share.median) : kNoFigure,
                significant(roofline.intensity),
                significant(roofline.attainable_gflops),
                significant(100 * roofline.attainable_share.median)};
  if (!row.first().cost_exact) {
    line.notes.push_back(note_number(notes, "its useful work is an upper bound"));
  }
  return line;
}

bool has_roofline(const Row& row) { return row.roofline.has_value(); }

Grid make_grid(const std::vector<const Table*>& tables, const Summary& summary) {
  Grid grid = grid_over_lengths(tables, summary);
  grid.columns = {{"", "n"},           {"GFLOP/s", "useful"},   {"", "run"},
                  {"peak", "GFLOP/s"}, {"% of peak", "useful"}, {"", "run"},
                  {"flops", "/ byte"}, {"attain-", "able"},     {"% of", "that"}};
  for (const Row* row : rows_over_lengths(tables, has_roofline)) {
    add_to_group(grid, row->first().target, make_line(*row, grid.notes));
  }
  return grid;
}

}  // namespace

Section roofline_section(const Summary& summary) {
  Section section;
  section.heading = "What is made of the machine";
  for (const auto& tables : tables_over_lengths(summary.tables)) {
    Grid grid = make_grid(tables, summary);
    if (!grid.groups.empty()) section.grids.push_back(std::move(grid));
  }
  section.legend = {
      "Peak: float32 multiply-adds of the point's threads, measured right before and after each "
      "pass. % of peak: median over rounds [interval] of the time that the multiply-adds take at "
      "the peak of the round over the time taken; useful ones, and those run. Attainable: useful "
      "GFLOP/s that multiply-adds and exponentials at peak and compulsory bytes at the rate of "
      "their memory leave."};
  return section;
}

}  // namespace subquad
