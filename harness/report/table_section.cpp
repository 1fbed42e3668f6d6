#include "report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "report/units.h"
#include "texts/counted.h"

namespace subquad {
namespace {

bool has_figures(const Row& row) {
  return row.status == Status::ok || row.status == Status::mistrusted;
}

std::string time_cell(const Row& row, Width width) {
  if (!has_figures(row)) return words(row.status);
  if (!row.time_ns) return kNoFigure;
  return width == Width::narrow ? human_time_with_margin(*row.time_ns)
                                : human_time_with_bounds(*row.time_ns);
}

std::string speed_up_cell(const Row& row, Width) {
  if (row.status == Status::mistrusted) return words(row.status);
  return row.speed_up ? with_bounds(*row.speed_up) : kNoFigure;
}

std::string useful_rate_cell(const Row& row, Width) {
  return row.useful_flops ? significant(*row.useful_flops / 1e9) : kNoFigure;
}

std::string rate_cell(const Row& row, Width) {
  if (!row.useful_flops || !row.executed_flops) return kNoFigure;
  return significant(*row.useful_flops / 1e9) + "/" + significant(*row.executed_flops / 1e9);
}

std::string efficiency_cell(const Row& row, Width) {
  return row.efficiency ? fmt::format("{}%", significant(100 * *row.efficiency, 2)) : kNoFigure;
}

std::string bytes_cell(const std::optional<double>& bytes, Width width) {
  if (!bytes) return kNoFigure;
  return width == Width::narrow ? short_bytes(*bytes) : human_bytes(*bytes);
}

std::string error_cell(const Row& row, Width width) {
  if (!row.error) return kNoFigure;
  const std::string text = row.sampled ? "~" : "";
  if (width == Width::narrow) return text + with_short_bounds(*row.error, row.error_deviation);
  return text + with_bounds(*row.error) +
         (row.error_deviation ? " ±" + significant(*row.error_deviation, 2) : "");
}

std::string target_error_cell(const Row& row, Width) {
  if (!row.target_error) return kNoFigure;
  return (row.sampled ? "~" : "") + with_bounds(*row.target_error);
}

/// A share of the attention mass; what is left of none after rounding is none.
double without_rounding(double mass) { return std::abs(mass) < 1e-6 ? 0 : mass; }

std::string dropped_mass_cell(const Row& row, Width width) {
  if (!row.dropped_mass) return kNoFigure;
  const Estimate mass = {without_rounding(row.dropped_mass->median),
                         without_rounding(row.dropped_mass->low),
                         without_rounding(row.dropped_mass->high)};
  return width == Width::narrow ? significant(mass.median) : with_bounds(mass);
}

struct ColumnRule {
  Grid::Column heading;
  std::string (*cell)(const Row&, Width);
  bool (*wanted)(const Table&, Width);  ///< whether the table has use for the column
};

bool always(const Table&, Width) { return true; }

template <class Has>
bool any_row(const Table& table, Has has) {
  return std::any_of(table.rows.begin(), table.rows.end(), has);
}

/// Points that were measured for their memory alone have no rounds.
bool has_times(const Table& table, Width) {
  return any_row(table, [](const Row& row) { return row.time_ns.has_value(); });
}

bool decodes(const Table& table, Width) { return table.decodes(); }
bool has_pass_times(const Table& table, Width width) {
  return has_times(table, width) && !table.decodes();
}
bool has_token_times(const Table& table, Width width) {
  return has_times(table, width) && table.decodes();
}

/// Decoders have no arenas, but may allocate.
bool shows_scratch(const Table& table) {
  return !table.decodes() ||
         any_row(table, [](const Row& row) { return row.scratch_bytes.value_or(0) > 0; });
}

const std::vector<ColumnRule>& column_rules() {
  static const std::vector<ColumnRule> kRules = {
      // Where there are times, the status stands in for one.
      {{"status", ""},
       [](const Row& row, Width) { return words(row.status); },
       [](const Table& table, Width width) { return !has_times(table, width); }},
      {{"time", "median"}, time_cell, has_pass_times},
      {{"time per", "token"}, time_cell, has_token_times},
      {{"speed-up", "over anchor"}, speed_up_cell, has_times},
      {{"GFLOP/s", "useful/run"}, rate_cell, has_pass_times},
      {{"GFLOP/s", "useful"}, useful_rate_cell, has_token_times},
      {{"eff.", ""}, efficiency_cell, has_times},
      {{"state", ""},
       [](const Row& row, Width width) { return bytes_cell(row.state_bytes, width); },
       decodes},
      {{"scratch", ""},
       [](const Row& row, Width width) { return bytes_cell(row.scratch_bytes, width); },
       [](const Table& table, Width) { return shows_scratch(table); }},
      {{"param-", "eters"},
       [](const Row& row, Width width) { return bytes_cell(row.parameter_bytes, width); },
       [](const Table& table, Width) {
         return any_row(table, [](const Row& row) { return row.parameter_bytes.value_or(0) > 0; });
       }},
      {{"relative error", "or distance"}, error_cell, always},
      {{"own", "target"},
       target_error_cell,
       // Few rows have one: a narrow table tells it in a note.
       [](const Table& table, Width width) {
         return width == Width::full &&
                any_row(table, [](const Row& row) { return row.target_error.has_value(); });
       }},
      {{"dropped", "mass"},
       dropped_mass_cell,
       [](const Table& table, Width) {
         return any_row(table, [](const Row& row) { return row.dropped_mass.has_value(); });
       }},
  };
  return kRules;
}

/// What the memory pass found beside the arenas.
std::string heap_note(const Row& row) {
  if (row.heap_allocations == 0 && row.heap_kept_bytes == 0) return {};
  std::string note =
      fmt::format("allocates beside its arenas: {}, {} at the most (counted as scratch)",
                  counted(row.heap_allocations, "allocation"),
                  human_bytes(static_cast<double>(row.heap_bytes)));
  if (row.heap_kept_bytes > 0) {
    note += fmt::format("; leaks: still holds {} after the call",
                        human_bytes(static_cast<double>(row.heap_kept_bytes)));
  }
  return note;
}

std::string negative_note(const Row& row) {
  if (row.negative_denominators.value_or(0) == 0) return {};
  return fmt::format(
      "{} of {} output rows have weights that sum to less than 0: they are no averages",
      *row.negative_denominators, row.output_rows);
}

std::string own_target_note(const Row& row, Width width) {
  if (!row.target_error) return {};
  std::string note = "own target: " + shown(row.first().dense_target);
  if (width == Width::narrow) note += "; error against it: " + target_error_cell(row, width);
  return note;
}

Grid::Line make_line(const Row& row, bool unbeaten, const std::vector<ColumnRule>& rules,
                     Width width, std::vector<std::string>& notes) {
  Grid::Line line;
  line.name = shown(row.first().variant) + (row.stale ? " (stale)" : "");
  if (unbeaten) line.marks += '*';
  if (!row.instability.empty()) line.marks += '!';
  for (const std::string& note :
       {shown(row.remark), own_target_note(row, width), heap_note(row), negative_note(row),
        row.instability.empty() ? "" : "unstable: " + shown(row.instability)}) {
    if (!note.empty()) line.notes.push_back(note_number(notes, note));
  }
  for (const ColumnRule& rule : rules) line.cells.push_back(rule.cell(row, width));
  return line;
}

void add_hypervolume(const Table& table, Grid& grid) {
  if (!table.frontier.hypervolume) return;
  std::vector<std::string> families;
  for (const auto& [family, volume] : table.frontier.family_hypervolume) {
    if (volume > 0) families.push_back(shown(family) + " " + significant(volume, 2));
  }
  std::string text = "Hypervolume: " + significant(*table.frontier.hypervolume, 2);
  if (families.size() > 1) text += fmt::format(" ({})", fmt::join(families, ", "));
  if (families.empty()) text += ", as none is faster than the anchor with an error below 1";
  grid.remarks.push_back(text + ".");
}

void add_controls(const Table& table, Grid& grid) {
  for (const auto& [control, beaten] : table.frontier.beaten_by_control) {
    grid.remarks.push_back(
        shown(fmt::format("The control {} is at least as fast and as exact as {}.", control,
                          fmt::join(beaten, ", "))));
  }
}

Grid make_grid(const Table& table, const Summary& summary, Width width) {
  std::vector<ColumnRule> rules;
  std::copy_if(column_rules().begin(), column_rules().end(), std::back_inserter(rules),
               [&](const ColumnRule& rule) { return rule.wanted(table, width); });
  Grid grid;
  grid.title = title_of(table.first(), {table.first().problem.keys}, summary);
  grid.shape = shape_of(table.first(), table.anchor);
  for (const ColumnRule& rule : rules) grid.columns.push_back(rule.heading);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    add_to_group(grid, row.first().target,
                 make_line(row, table.frontier.unbeaten[i], rules, width, grid.notes));
  }
  add_hypervolume(table, grid);
  add_controls(table, grid);
  return grid;
}

/// What occurs in the tables, so that nothing else is explained.
struct Occurring {
  bool pass_times = false, token_times = false, scratch = false, states = false,
       several_seeds = false, deviations = false, unbeaten = false, unstable = false,
       hypervolume = false, models = false;
  std::set<std::string> coverages;
  std::set<std::int64_t> sampled_rows;
};

Occurring occurring_in(const Summary& summary) {
  Occurring found;
  for (const Table& table : summary.tables) {
    found.hypervolume = found.hypervolume || table.frontier.hypervolume;
    found.models = found.models || !table.first().model.empty();
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const Row& row = table.rows[i];
      found.pass_times = found.pass_times || (row.time_ns && !row.decodes());
      found.token_times = found.token_times || (row.time_ns && row.decodes());
      found.scratch = found.scratch || shows_scratch(table);
      found.states = found.states || row.decodes();
      found.several_seeds = found.several_seeds || row.records.size() > 1;
      found.deviations = found.deviations || row.error_deviation;
      found.unbeaten = found.unbeaten || table.frontier.unbeaten[i];
      found.unstable = found.unstable || !row.instability.empty();
      if (row.sampled) found.sampled_rows.insert(row.first().reference_rows);
      if (row.time_ns && row.time_ns->coverage > 0) {
        found.coverages.insert(fmt::format("{} rounds {:.1f}%", row.first().rounds.size(),
                                           100 * row.time_ns->coverage));
      }
    }
  }
  return found;
}

std::string legend_of_times(const Occurring& found, Width width) {
  std::string text = "Time: median over rounds";
  if (found.token_times) {
    text += "; where decoded, of one token over all sequences and heads, after all before it";
  }
  if (width == Width::narrow) text += "; ± is the larger side of its interval";
  text +=
      ". Speed-up: median over rounds of the anchor's time over the variant's in the same round. "
      "[low high]: order-statistic interval of the median";
  if (!found.coverages.empty()) {
    text += fmt::format(" (coverage: {})", fmt::join(found.coverages, ", "));
  }
  return text + ".";
}

std::string legend_of_marks(const Occurring& found) {
  std::string text;
  if (found.unbeaten) {
    text +=
        "*: on the frontier, no exact, estimator or restriction row beats it in time and error. ";
  }
  if (found.hypervolume) {
    text +=
        "Hypervolume: share of the box time over anchor's 0 to 1, error 0 to 1 that these rows "
        "reach, all of them and each family alone; more is better. ";
  }
  if (found.unstable) text += "!: unstable, its times are not to be relied on. ";
  if (!text.empty()) text.pop_back();
  return text;
}

std::string legend_of_errors(const Occurring& found) {
  std::string text =
      "Relative error: Frobenius, of the output against dense; median [range] over heads.";
  if (found.models) text += " Of a model: of its logits; over windows.";
  if (!found.sampled_rows.empty()) {
    text += fmt::format(" ~: over a seeded sample of {} query rows per head",
                        fmt::join(found.sampled_rows, " or "));
    text += found.deviations ? "; ±: its standard error." : ".";
  }
  return text;
}

std::vector<std::string> legend(const Summary& summary, Width width) {
  const Occurring found = occurring_in(summary);
  std::vector<std::string> lines;
  if (found.pass_times || found.token_times) {
    lines.push_back(legend_of_times(found, width));
    lines.emplace_back(
        "GFLOP/s: 2 per multiply-add; useful is what the method asks for, run what the kernels "
        "executed. Efficiency (eff.): speed-up over the one that useful multiply-adds predict.");
  }
  std::string memory;
  if (found.scratch) {
    memory =
        "Scratch: most memory taken beside inputs and output, choices (labels of buckets and the "
        "like) and heads put together included. ";
  }
  if (found.states) {
    memory +=
        "State: what all decoders hold after the last token; heads that share keys share one. ";
  }
  lines.push_back(memory + "Parameters: learned and random tensors.");
  lines.push_back(legend_of_errors(found));
  if (const std::string marks = legend_of_marks(found); !marks.empty()) lines.push_back(marks);
  if (found.several_seeds) {
    lines.emplace_back(
        "Variants run under several seeds: median over seeds [range over seeds], errors [range "
        "over all heads of all seeds].");
  }
  return lines;
}

}  // namespace

Section table_section(const Summary& summary, Width width) {
  Section section;
  for (const Table& table : summary.tables) {
    section.grids.push_back(make_grid(table, summary, width));
  }
  section.legend = legend(summary, width);
  return section;
}

}  // namespace subquad
