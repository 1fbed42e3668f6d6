#include "reproducing/render.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/units.h"
#include "running/progress.h"

namespace subquad {
namespace {

/// Panels of few columns show published, measured and verdict side by side; others one below the
/// other.
constexpr std::size_t kFewColumns = 3;

std::string measured_text(const JudgedCell& cell) {
  if (!cell.measured) return kNoFigure;
  const std::string text = significant(*cell.measured / cell.unit_size);
  return cell.computed ? "(" + text + ")" : text;
}

std::string measured_with_unit(const JudgedCell& cell) {
  const std::string text = measured_text(cell);
  return cell.measured && !cell.unit.empty() ? text + " " + cell.unit : text;
}

bool is_printed(const Panel& panel) {
  return std::any_of(panel.rows.begin(), panel.rows.end(), [](const PublishedRow& row) {
    return std::any_of(row.values.begin(), row.values.end(),
                       [](const PublishedValue& value) { return !value.text.empty(); });
  });
}

std::string published_text(const PublishedValue& value) {
  return value.text.empty() ? kNoFigure : shown(value.text);
}

std::string formula_text(const JudgedCell& cell) {
  if (cell.formulas.empty()) return "";
  if (!cell.formulas_hold()) return "wrong";
  const bool told = std::any_of(cell.formulas.begin(), cell.formulas.end(),
                                [](const RuleOutcome& each) { return each.finding.always_told; });
  return told ? "misprint" : "ok";
}

std::string verdict_text(const JudgedCell& cell) {
  switch (cell.verdict) {
    case CellVerdict::shown:
      return "shown";
    case CellVerdict::not_measured:
      return "";
    default:
      return to_string(cell.verdict);
  }
}

std::string with_unit(const std::string& what, const std::string& unit) {
  return unit.empty() ? what : what + ", " + unit;
}

std::string variant_of(const PublishedRow& row, const Panel& panel) {
  const auto variant = panel.selector.with(row.selector).variant;
  return variant ? row.name + ": " + *variant : row.name;
}

std::string unit_of(const std::vector<JudgedCell>& cells) {
  for (const JudgedCell& cell : cells) {
    if (!cell.unit.empty()) return cell.unit;
  }
  return {};
}

template <class Text>
void add_line(Grid::Group& group, const std::string& name, const std::vector<JudgedCell>& cells,
              Text text) {
  Grid::Line line;
  line.name = name;
  for (std::size_t column = 0; column < cells.size(); ++column) line.cells.push_back(text(column));
  const auto is_empty = [](const std::string& cell) { return cell.empty(); };
  if (!std::all_of(line.cells.begin(), line.cells.end(), is_empty)) group.lines.push_back(line);
}

void add_stacked(Grid& grid, const JudgedPanel& judged) {
  const Panel& panel = *judged.panel;
  const bool printed = is_printed(panel);
  for (const PublishedColumn& column : panel.columns) grid.columns.push_back({"", column.name});
  for (std::size_t i = 0; i < panel.rows.size(); ++i) {
    const PublishedRow& row = panel.rows[i];
    const std::vector<JudgedCell>& cells = judged.cells[i];
    Grid::Group group{variant_of(row, panel), {}};
    const std::string mark = row.mark.empty() ? "" : " [" + row.mark + "]";
    if (printed) {
      add_line(group, with_unit("published", panel.unit) + mark, cells,
               [&](std::size_t j) { return published_text(row.values[j]); });
    }
    add_line(group, "paper's formula", cells,
             [&](std::size_t j) { return formula_text(cells[j]); });
    add_line(group, with_unit("measured", unit_of(cells)), cells, [&](std::size_t j) {
      const bool only_printed = !cells[j].measured && cells[j].why_not.empty();
      return only_printed ? "" : measured_text(cells[j]);
    });
    add_line(group, "verdict", cells, [&](std::size_t j) { return verdict_text(cells[j]); });
    grid.groups.push_back(std::move(group));
  }
}

void add_side_by_side(Grid& grid, const JudgedPanel& judged) {
  const Panel& panel = *judged.panel;
  const bool printed = is_printed(panel);
  for (const PublishedColumn& column : panel.columns) {
    if (printed) grid.columns.push_back({column.name, "published"});
    grid.columns.push_back({printed ? "" : column.name, "measured"});
    grid.columns.push_back({"", "verdict"});
  }
  Grid::Group& group = grid.groups.emplace_back();
  for (std::size_t i = 0; i < panel.rows.size(); ++i) {
    const PublishedRow& row = panel.rows[i];
    Grid::Line line;
    line.name = variant_of(row, panel);
    for (std::size_t j = 0; j < panel.columns.size(); ++j) {
      const JudgedCell& cell = judged.cells[i][j];
      if (printed) line.cells.push_back(published_text(row.values[j]));
      line.cells.push_back(measured_with_unit(cell));
      const std::string formula = formula_text(cell), verdict = verdict_text(cell);
      line.cells.push_back(formula.empty() ? verdict
                                           : fmt::format("formula {} {}", formula, verdict));
    }
    group.lines.push_back(std::move(line));
  }
}

bool has_computed(const JudgedPanel& judged) {
  return std::any_of(judged.cells.begin(), judged.cells.end(), [](const auto& cells) {
    return std::any_of(cells.begin(), cells.end(), [](const JudgedCell& cell) {
      return cell.computed && cell.measured.has_value();
    });
  });
}

/// What of a cell does not hold or is to be told all the same, and why that is, in one line; empty
/// where there is nothing.
std::string finding_of(const JudgedCell& cell) {
  std::string text;
  for (const auto* outcomes : {&cell.formulas, &cell.rules}) {
    for (const RuleOutcome& outcome : *outcomes) {
      const Finding& finding = outcome.finding;
      if (finding.holds && !finding.always_told) continue;
      text += (text.empty() ? "" : " ") + finding.text;
      text += finding.holds ? "." : fmt::format("; asked for: {}.", outcome.rule->text);
    }
  }
  if (!cell.reasons.empty()) text += fmt::format(" Why: {}", fmt::join(cell.reasons, " "));
  return text;
}

void add_findings(Grid& grid, const JudgedPanel& judged) {
  const Panel& panel = *judged.panel;
  for (std::size_t i = 0; i < judged.cells.size(); ++i) {
    for (std::size_t j = 0; j < judged.cells[i].size(); ++j) {
      const std::string finding = finding_of(judged.cells[i][j]);
      if (finding.empty()) continue;
      grid.remarks.push_back(
          fmt::format("{} at {}: {}", panel.rows[i].name, panel.columns[j].name, finding));
    }
  }
  for (const RuleOutcome& claim : judged.claims) {
    std::string text = fmt::format("{}: {}; {}.", claim.rule->text, claim.finding.text,
                                   claim.finding.holds ? "pass" : "differs");
    if (!claim.finding.holds && !claim.rule->known.empty()) text += " Why: " + claim.rule->known;
    grid.remarks.push_back(std::move(text));
  }
}

/// Columns that have a reason in common, in one line.
void add_unmeasured(Grid& grid, const JudgedPanel& judged) {
  const Panel& panel = *judged.panel;
  for (std::size_t i = 0; i < judged.cells.size(); ++i) {
    std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
    for (std::size_t j = 0; j < judged.cells[i].size(); ++j) {
      const JudgedCell& cell = judged.cells[i][j];
      if (cell.why_not.empty() || panel.rows[i].values[j].text.empty()) continue;
      if (reasons.empty() || reasons.back().first != cell.why_not) {
        reasons.emplace_back(cell.why_not, std::vector<std::string>());
      }
      reasons.back().second.push_back(panel.columns[j].name);
    }
    for (const auto& [why, columns] : reasons) {
      const bool all = columns.size() == panel.columns.size();
      grid.remarks.push_back(fmt::format("{}: not measured{}: {}.", panel.rows[i].name,
                                         all ? "" : fmt::format(" at {}", fmt::join(columns, ", ")),
                                         why));
    }
  }
}

/// Every rule once, with the rows that it is for.
void add_rules(Grid& grid, const Panel& panel) {
  const auto add = [&](const std::string& who, const std::vector<Rule>& rules) {
    for (const Rule& rule : rules) {
      std::string where;
      if (rule.from > 0 && rule.text.find("from") == std::string::npos) {
        where = fmt::format(" (from {})", rule.from);
      }
      grid.notes.push_back(fmt::format("{}{}: {}.", who, where, rule.text));
    }
  };
  add("Every cell", panel.rules);
  for (const PublishedRow& row : panel.rows) add(row.name, row.rules);
  for (const PublishedColumn& column : panel.columns) add("Column " + column.name, column.rules);
}

Grid grid_of(const JudgedPanel& judged, const PublishedTable& table) {
  const Panel& panel = *judged.panel;
  Grid grid;
  grid.title = panel.title;
  grid.shape = fmt::format("Published: {}, {} (arXiv:{}).", table.source.paper, table.source.place,
                           table.source.arxiv);
  grid.names = "row";
  if (panel.columns.size() <= kFewColumns) {
    add_side_by_side(grid, judged);
  } else {
    add_stacked(grid, judged);
  }
  add_findings(grid, judged);
  add_unmeasured(grid, judged);
  add_rules(grid, panel);
  if (has_computed(judged)) grid.notes.push_back("In parentheses: computed, not measured.");
  grid.remarks.insert(grid.remarks.end(), panel.notes.begin(), panel.notes.end());
  return grid;
}

std::string share(int part, int all) {
  return all == 0 ? kNoFigure : fmt::format("{}/{}", part, all);
}

std::vector<std::string> cells_of(const JudgedTable::Counts& counts, double seconds) {
  return {share(counts.formulas_right, counts.formulas), share(counts.passed, counts.judged),
          std::to_string(counts.differ_without_reason), std::to_string(counts.not_measured),
          seconds > 0 ? fmt::format("{:.1f}", seconds / 60) : kNoFigure};
}

}  // namespace

std::vector<Section> sections(const JudgedTable& judged) {
  Section section;
  section.heading = judged.table->name + ": " + judged.table->title;
  for (const JudgedPanel& panel : judged.panels) {
    section.grids.push_back(grid_of(panel, *judged.table));
  }
  section.legend = judged.table->notes;
  const JudgedTable::Counts counts = judged.counts();
  section.legend.push_back(
      fmt::format("Formula cells right: {}. Measured cells that pass: {}. Not measured: {}.",
                  share(counts.formulas_right, counts.formulas),
                  share(counts.passed, counts.judged), counts.not_measured));
  section.legend.insert(section.legend.end(), judged.notices.begin(), judged.notices.end());
  return {section};
}

Section summary_section(const std::vector<JudgedTable>& tables) {
  Grid grid;
  grid.title = "Published tables, judged";
  grid.shape =
      "Formula cells: printed numbers that a formula of the paper's program gives. Measured "
      "cells: judged by the table's own rules.";
  grid.names = "table";
  grid.columns = {{"formula", "right"},
                  {"measured", "pass"},
                  {"without", "reason"},
                  {"not", "measured"},
                  {"", "minutes"}};
  Grid::Group group;
  JudgedTable::Counts total;
  double seconds = 0;
  for (const JudgedTable& table : tables) {
    group.lines.push_back({table.table->name, "", {}, cells_of(table.counts(), table.seconds)});
    total += table.counts();
    seconds += table.seconds;
  }
  group.lines.push_back({"all", "", {}, cells_of(total, seconds)});
  grid.groups.push_back(std::move(group));
  return {"", {grid}, {}};
}

}  // namespace subquad
