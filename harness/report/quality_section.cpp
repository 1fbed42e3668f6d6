#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "measuring/quality.h"
#include "report/grid.h"
#include "report/units.h"

namespace subquad {
namespace {

/// "1.508 [1.330 1.727]": differences of a thousandth of a bit are what such tables are about.
std::string cell_of(const std::optional<WindowMean>& mean, const char* format) {
  if (!mean) return kNoFigure;
  return fmt::format(fmt::runtime(fmt::format("{0} [{0} {0}]", format)), mean->mean, mean->low,
                     mean->high);
}

std::vector<const Row*> ranked(const Table& table) {
  const QualityFigure& headline = quality_figures().front();
  const auto value = [&](const Row* row) {
    const double mean = row->quality.at(std::string(headline.key)).value.mean;
    if (std::isnan(mean)) return std::numeric_limits<double>::infinity();
    return headline.better == Better::lower ? mean : -mean;
  };
  std::vector<const Row*> rows;
  for (const Row& row : table.rows) {
    if (row.quality.count(std::string(headline.key)) > 0) rows.push_back(&row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const Row* a, const Row* b) { return value(a) < value(b); });
  return rows;
}

/// Whether this is the headline, whose difference to the anchor has a column of its own.
bool is_headline(const QualityFigure& figure) { return &figure == &quality_figures().front(); }

std::vector<std::string> cells_of(const Row& row) {
  std::vector<std::string> cells;
  for (const QualityFigure& figure : quality_figures()) {
    const auto found = row.quality.find(std::string(figure.key));
    const bool there = found != row.quality.end();
    cells.push_back(there ? cell_of(found->second.value, "{:.3f}") : kNoFigure);
    if (!is_headline(figure)) continue;
    cells.push_back(cell_of(there ? found->second.beyond_anchor : std::nullopt, "{:+.3f}"));
  }
  cells.push_back(row.error ? significant(row.error->median) : kNoFigure);
  cells.push_back(row.time_ns ? human_time(row.time_ns->median) : kNoFigure);
  cells.push_back(row.speed_up ? significant(row.speed_up->median) : kNoFigure);
  cells.push_back(row.first().target);
  return cells;
}

Grid make_grid(const Table& table, const Summary& summary) {
  Grid grid = grid_over_lengths({&table}, summary);
  grid.columns = {{"", "rank"}};
  for (const QualityFigure& figure : quality_figures()) {
    grid.columns.push_back({"", std::string(figure.label)});
    if (is_headline(figure)) grid.columns.push_back({"beyond", "anchor"});
  }
  grid.columns.insert(grid.columns.end(),
                      {{"error of", "logits"}, {"", "time"}, {"speed-", "up"}, {"", "target"}});
  int rank = 0;
  for (const Row* row : ranked(table)) {
    if (grid.groups.empty()) grid.groups.push_back({"best first", {}});
    Grid::Line line{shown(row->first().variant) + (row->stale ? " (stale)" : ""), {}, {}, {}};
    if (row->status != Status::ok) {
      line.notes.push_back(note_number(grid.notes, shown(row->remark)));
    }
    line.cells = cells_of(*row);
    line.cells.insert(line.cells.begin(), std::to_string(++rank));
    grid.groups.front().lines.push_back(std::move(line));
  }
  return grid;
}

}  // namespace

Section quality_section(const Summary& summary) {
  Section section;
  section.heading = "What the model makes of it";
  for (const Table& table : summary.tables) {
    Grid grid = make_grid(table, summary);
    if (!grid.groups.empty()) section.grids.push_back(std::move(grid));
  }
  std::string legend = "Mean over windows of text [range over windows].";
  for (const QualityFigure& figure : quality_figures()) {
    legend += fmt::format(" {}: {}.", figure.label, figure.doc);
  }
  section.legend = {legend +
                    " Beyond anchor: window by window. Error of logits: relative, against the "
                    "model with its own attention; median over windows."};
  return section;
}

}  // namespace subquad
