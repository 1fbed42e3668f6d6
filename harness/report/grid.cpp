#include "report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "report/units.h"

namespace subquad {
namespace {

const std::string kNoFigure = "–";

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

std::string words(Status status) {
  std::string text = to_string(status);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

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
  return (row.sampled ? "~" : "") +
         (width == Width::narrow ? with_short_bounds(*row.error) : with_bounds(*row.error));
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
  bool (*wanted)(const Row&, Width);  ///< a column that no row wants is left out
};

bool always(const Row&, Width) { return true; }

const std::vector<ColumnRule>& column_rules() {
  static const std::vector<ColumnRule> kRules = {
      {{"time", "median"}, time_cell, always},
      {{"speed-up", "over anchor"}, speed_up_cell, always},
      {{"GFLOP/s", "useful/run"}, rate_cell, always},
      {{"eff.", ""}, efficiency_cell, always},
      {{"scratch", ""},
       [](const Row& row, Width width) { return bytes_cell(row.scratch_bytes, width); },
       always},
      {{"param-", "eters"},
       [](const Row& row, Width width) { return bytes_cell(row.parameter_bytes, width); },
       [](const Row& row, Width) { return row.parameter_bytes.value_or(0) > 0; }},
      {{"relative error", "or distance"}, error_cell, always},
      {{"own", "target"},
       target_error_cell,
       // Few rows have one: a narrow table tells it in a note.
       [](const Row& row, Width width) { return width == Width::full && row.target_error; }},
      {{"dropped", "mass"},
       dropped_mass_cell,
       [](const Row& row, Width) { return row.dropped_mass.has_value(); }},
  };
  return kRules;
}

/// Number of the note that says `text`, added if it is new.
int note_number(std::vector<std::string>& notes, const std::string& text) {
  const auto found = std::find(notes.begin(), notes.end(), text);
  const auto number = static_cast<int>(found - notes.begin()) + 1;
  if (found == notes.end()) notes.push_back(text);
  return number;
}

Grid::Line make_line(const Row& row, const std::vector<ColumnRule>& rules, Width width,
                     std::vector<std::string>& notes) {
  Grid::Line line;
  line.name = printable(row.first().variant) + (row.stale ? " (stale)" : "");
  if (!row.remark.empty()) line.notes.push_back(note_number(notes, printable(row.remark)));
  if (row.target_error) {
    std::string note = "own target: " + printable(row.first().dense_target);
    if (width == Width::narrow) note += "; error against it: " + target_error_cell(row, width);
    line.notes.push_back(note_number(notes, note));
  }
  for (const ColumnRule& rule : rules) line.cells.push_back(rule.cell(row, width));
  return line;
}

std::string plural(std::int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string title_of(const Record& r) {
  return printable(fmt::format("{}, n = {}, {}, {}", r.input, r.problem.keys,
                               r.problem.causal ? "causal" : "not causal",
                               plural(r.threads, "thread")));
}

std::string shape_of(const Table& table) {
  const Record& r = table.first();
  const Problem& p = r.problem;
  std::string text = fmt::format("batch {}, {}", r.batch, plural(r.heads, "head"));
  if (r.key_heads != r.heads) text += fmt::format(" over {} of keys", r.key_heads);
  text += fmt::format(", dim {}", p.dim);
  if (p.value_dim != p.dim) text += fmt::format(", value dim {}", p.value_dim);
  if (p.queries != p.keys) text += fmt::format(", {} queries", p.queries);
  if (p.first_query != 0) text += fmt::format(", first at position {}", p.first_query);
  if (p.scale != 0) text += fmt::format(", scale {}", significant(p.scale));
  text += ", " + r.direction;
  text += table.anchor.empty() ? ", no anchor" : ", anchor " + table.anchor;
  return printable(text);
}

void add_coverages(const Row& row, std::set<std::string>& coverages) {
  if (row.time_ns && row.time_ns->coverage > 0) {
    coverages.insert(
        fmt::format("{} rounds {:.1f}%", row.first().rounds.size(), 100 * row.time_ns->coverage));
  }
}

}  // namespace

Grid make_grid(const Table& table, Width width) {
  std::vector<ColumnRule> rules;
  std::copy_if(column_rules().begin(), column_rules().end(), std::back_inserter(rules),
               [&](const ColumnRule& rule) {
                 return std::any_of(table.rows.begin(), table.rows.end(),
                                    [&](const Row& row) { return rule.wanted(row, width); });
               });
  Grid grid;
  grid.title = title_of(table.first());
  grid.shape = shape_of(table);
  for (const ColumnRule& rule : rules) grid.columns.push_back(rule.heading);
  for (const Row& row : table.rows) {
    const std::string heading = printable(target_heading(row.first().target));
    if (grid.groups.empty() || grid.groups.back().heading != heading) {
      grid.groups.push_back({heading, {}});
    }
    grid.groups.back().lines.push_back(make_line(row, rules, width, grid.notes));
  }
  return grid;
}

std::vector<std::string> legend(const Summary& summary, Width width) {
  std::set<std::string> coverages;
  std::set<std::int64_t> sampled_rows;
  bool several_seeds = false;
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) {
      add_coverages(row, coverages);
      several_seeds = several_seeds || row.records.size() > 1;
      if (row.sampled) sampled_rows.insert(row.first().reference_rows);
    }
  }
  std::vector<std::string> lines;
  std::string intervals = "Time: median over rounds";
  if (width == Width::narrow) intervals += "; ± is the larger side of its interval";
  intervals +=
      ". Speed-up: median over rounds of the anchor's time over the variant's in the same round. "
      "[low high]: order-statistic interval of the median";
  if (!coverages.empty()) intervals += fmt::format(" (coverage: {})", fmt::join(coverages, ", "));
  lines.push_back(intervals + ".");
  lines.push_back(
      "GFLOP/s: 2 per multiply-add; useful is what the method asks for, run what the kernels "
      "executed. Efficiency (eff.): speed-up over the one that useful multiply-adds predict.");
  lines.push_back(
      "Scratch: most memory taken beside inputs and output. Parameters: learned and random "
      "tensors. "
      "Relative error: Frobenius, of the output; median [range] over heads.");
  if (!sampled_rows.empty()) {
    lines.push_back(fmt::format("~: over a seeded sample of {} query rows per head.",
                                fmt::join(sampled_rows, " or ")));
  }
  if (several_seeds) {
    lines.push_back(
        "Variants run under several seeds: median over seeds [range over seeds], errors [range "
        "over all heads of all seeds].");
  }
  return lines;
}

}  // namespace subquad
