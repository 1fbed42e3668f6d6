#include <fmt/format.h>

#include <set>

#include "report/grid.h"
#include "report/units.h"
#include "texts/counted.h"

namespace subquad {
namespace {

std::string text_of(const Budget& budget) {
  std::vector<std::string> limits;
  if (budget.max_error) {
    limits.push_back("relative error at most " + significant(*budget.max_error));
  }
  if (budget.memory_bytes) limits.push_back("memory at most " + human_bytes(*budget.memory_bytes));
  return fmt::format("{}", fmt::join(limits, ", "));
}

Grid::Line make_line(const Row& row, const BudgetResult::Place& place, Width width) {
  Grid::Line line;
  line.name = shown(row.first().variant) + (row.stale ? " (stale)" : "");
  if (!row.instability.empty()) line.marks = "!";
  std::string time = kNoFigure;
  if (row.time_ns) {
    time = width == Width::narrow ? human_time_with_margin(*row.time_ns)
                                  : human_time_with_bounds(*row.time_ns);
  }
  line.cells = {std::to_string(place.rank),
                time,
                row.speed_up ? with_bounds(*row.speed_up) : kNoFigure,
                place.error ? (row.sampled ? "~" : "") + significant(*place.error) : kNoFigure,
                human_bytes(place.memory_bytes),
                shown(row.first().target)};
  return line;
}

Grid make_grid(const Table& table, const Summary& summary, Width width) {
  const BudgetResult& result = *table.budget;
  Grid grid;
  grid.title = title_of(table.first(), {table.first().problem.keys}, summary);
  grid.shape = shape_of(table.first(), table.anchor);
  if (!result.places.empty()) {
    grid.columns = {
        {"", "rank"},
        table.decodes() ? Grid::Column{"time per", "token"} : Grid::Column{"time", "median"},
        {"speed-up", "over anchor"},
        {"error", "at most"},
        {"", "memory"},
        {"", "target"}};
    Grid::Group& group = grid.groups.emplace_back();
    group.heading = counted(result.places.size(), "variant") + " of " +
                    std::to_string(table.rows.size()) + " within the budget";
    for (const BudgetResult::Place& place : result.places) {
      const Row& row = table.rows[place.row];
      Grid::Line line = make_line(row, place, width);
      if (!row.instability.empty()) {
        line.notes.push_back(note_number(grid.notes, "unstable: " + shown(row.instability)));
      }
      group.lines.push_back(std::move(line));
    }
  } else {
    grid.remarks.push_back("Nothing is within the budget.");
  }
  for (const BudgetResult::Miss& miss : result.misses) {
    grid.remarks.push_back(
        shown(fmt::format("Not {}: {}.", table.rows[miss.row].first().variant, miss.reason)));
  }
  return grid;
}

}  // namespace

Section budget_section(const Summary& summary, Width width) {
  Section section;
  section.heading = "Budget: " + text_of(*summary.options.budget);
  bool sampled = false, operations = false;
  for (const Table& table : summary.tables) {
    section.grids.push_back(make_grid(table, summary, width));
    for (const BudgetResult::Place& place : table.budget->places) {
      const Row& row = table.rows[place.row];
      sampled = sampled || row.sampled;
      operations = operations || row.first().target == "operation";
    }
  }
  section.legend = {
      "Rank: by time. One rank: the 95% interval of the median, over rounds, of their time ratio "
      "to "
      "the fastest of the rank holds 1, so they cannot be told from it (nor with fewer than six "
      "rounds). Memory: scratch, a decoder's state and parameters. Error: relative, against dense, "
      "median over "
      "heads."};
  if (sampled) {
    section.legend.emplace_back(
        "~: from a sample of query rows, two standard errors added where those are known.");
  }
  if (operations) {
    section.legend.emplace_back(
        "Operations compute something else by design; their figure is a distance.");
  }
  return section;
}

}  // namespace subquad
