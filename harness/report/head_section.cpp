#include <fmt/format.h>

#include <algorithm>

#include "measuring/metrics.h"
#include "measuring/statistics.h"
#include "report/grid.h"
#include "report/units.h"

namespace subquad {
namespace {

/// A column for each fits a page up to here; with more, a median and a range say more anyway.
constexpr std::int64_t kMostHeads = 8;

/// Errors of one head over all sequences and seeds.
std::vector<double> errors_of_head(const Row& row, std::int64_t head) {
  std::vector<double> errors;
  for (const Record* record : row.finished()) {
    const auto found = record->error.find(std::string(kHeadlineMetric));
    if (found == record->error.end()) continue;
    for (auto index = static_cast<std::size_t>(head); index < found->second.size();
         index += static_cast<std::size_t>(record->heads)) {
      errors.push_back(found->second[index]);
    }
  }
  return errors;
}

Grid make_grid(const Table& table, const Summary& summary) {
  const Record& first = table.first();
  Grid grid = grid_over_lengths({&table}, summary);
  for (std::int64_t head = 0; head < first.heads; ++head) {
    grid.columns.push_back({"head", std::to_string(head)});
  }
  for (const Row& row : table.rows) {
    if (!row.error) continue;
    Grid::Line line{shown(row.first().variant), {}, {}, {}};
    for (std::int64_t head = 0; head < first.heads; ++head) {
      line.cells.push_back(significant(median(errors_of_head(row, head))));
    }
    add_to_group(grid, row.first().target, std::move(line));
  }
  return grid;
}

}  // namespace

Section head_section(const Summary& summary) {
  Section section;
  section.heading = "Error by head";
  for (const Table& table : summary.tables) {
    const std::int64_t heads = table.first().heads;
    // A block's error is of its whole width.
    if (heads < 2 || heads > kMostHeads || table.first().is_block()) continue;
    Grid grid = make_grid(table, summary);
    if (!grid.groups.empty()) section.grids.push_back(std::move(grid));
  }
  section.legend = {
      "Relative error against dense attention (of an operation: its distance), median over "
      "sequences and seeds, of each head by itself."};
  return section;
}

}  // namespace subquad
