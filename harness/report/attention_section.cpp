#include <fmt/format.h>

#include "measuring/attention_figures.h"
#include "report/grid.h"
#include "report/units.h"

namespace subquad {
namespace {

/// "over 1024 of 4096 query rows" where the figures are of a part.
std::string rows_words(const Table& table) {
  const Index queries = table.first().problem.queries;
  return table.attention_rows < queries ? fmt::format("~{} of {}", table.attention_rows, queries)
                                        : std::to_string(queries);
}

void add_line(Grid& grid, std::string name, std::vector<std::string> cells) {
  if (grid.groups.empty()) grid.groups.push_back({"exact attention matrices", {}});
  grid.groups.back().lines.push_back({std::move(name), {}, {}, std::move(cells)});
}

void add_heads(const Table& table, Grid& grid) {
  for (const Record* record : table.attention_records) {
    for (std::int64_t index = 0; index < record->batch * record->heads; ++index) {
      std::vector<std::string> cells = {std::to_string(record->problem.keys), rows_words(table)};
      for (const AttentionFigure& figure : attention_figures()) {
        const auto found = record->attention_figures.find(std::string(figure.key));
        const bool there = found != record->attention_figures.end() &&
                           index < static_cast<std::int64_t>(found->second.size());
        cells.push_back(there ? significant(found->second[static_cast<std::size_t>(index)])
                              : kNoFigure);
      }
      std::string name = fmt::format("head {}", index % record->heads);
      if (record->batch > 1) name += fmt::format(" of sequence {}", index / record->heads);
      if (table.attention_records.size() > 1) name += fmt::format(", seed {}", record->seed);
      add_line(grid, std::move(name), std::move(cells));
    }
  }
}

Grid make_grid(const std::vector<const Table*>& tables, const Summary& summary) {
  Grid grid = grid_over_lengths(tables, summary);
  grid.names = "heads";
  grid.columns = {{"", "n"}, {"query", "rows"}};
  for (const AttentionFigure& figure : attention_figures()) {
    grid.columns.push_back({"", std::string(figure.label)});
  }
  for (const Table* table : tables) {
    if (table->attention.empty()) continue;
    std::vector<std::string> cells = {std::to_string(table->first().problem.keys),
                                      rows_words(*table)};
    for (const AttentionFigure& figure : attention_figures()) {
      const auto found = table->attention.find(std::string(figure.key));
      cells.push_back(found == table->attention.end() ? kNoFigure : with_bounds(found->second));
    }
    add_line(grid, "all", std::move(cells));
    if (summary.options.details) add_heads(*table, grid);
  }
  return grid;
}

}  // namespace

Section attention_section(const Summary& summary) {
  Section section;
  section.heading = "What the attention matrices are like, whatever the variant";
  for (const auto& tables : tables_over_lengths(summary.tables)) {
    Grid grid = make_grid(tables, summary);
    if (!grid.groups.empty()) section.grids.push_back(std::move(grid));
  }
  std::string legend = "Singular values of the exact softmax matrix; median [range] over heads.";
  for (const AttentionFigure& figure : attention_figures()) {
    legend += fmt::format(" {}: {}.", figure.label, figure.doc);
  }
  section.legend = {legend + " ~: of a seeded sample of query rows, which is a smaller matrix."};
  return section;
}

}  // namespace subquad
