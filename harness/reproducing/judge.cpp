#include "reproducing/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "subquad/error.h"

namespace subquad {
namespace {

bool holds(const RuleOutcome& outcome) { return outcome.finding.holds; }

/// Why a cell has no figure, as far as records tell.
std::string why_not_measured(const CellView& cell) {
  const PublishedRow& row = cell.panel.rows[cell.row];
  const Selector selector = cell.selector();
  if (!selector.exponent_in && selector.variant && selector.figure != kComputed) {
    const Row* measured = cell.measured.find(selector);
    if (measured != nullptr && measured->status != Status::ok) return measured->remark;
    if (measured != nullptr) return "the figure was not taken";
  }
  if (!row.unmeasured.empty()) return row.unmeasured;
  return selector.variant ? "no such point in the experiment" : "no variant of ours stands for it";
}

void add_outcomes(const std::vector<Rule>& rules, const CellView& cell, JudgedCell& judged) {
  for (const Rule& rule : rules) {
    if (!rule.is_for(cell.panel, cell.row, cell.column)) continue;
    const bool of_paper = rule.scope == RuleScope::published;
    if (!of_paper && !judged.measured) continue;
    if (const std::optional<Finding> finding = rule.judge(cell)) {
      (of_paper ? judged.formulas : judged.rules).push_back({&rule, *finding});
    }
  }
}

/// The slowest over the fastest round of a point, at the point where that is most.
double widest_spread(const std::vector<std::pair<Index, const Row*>>& points) {
  double widest = 1;
  for (const auto& [place, row] : points) {
    for (const Record* record : row->finished()) {
      if (record->rounds.empty()) continue;
      const auto [fastest, slowest] =
          std::ranges::minmax(record->rounds, {}, [](const Round& round) { return round.time_ns; });
      if (fastest.time_ns > 0) widest = std::max(widest, slowest.time_ns / fastest.time_ns);
    }
  }
  return widest;
}

/// Rounds that lie as far apart can move a power by more than rules allow.
constexpr double kWideSpread = 1.2;

void add_reasons(const CellView& cell, JudgedCell& judged) {
  const std::string& column = cell.panel.columns[cell.column].name;
  for (const KnownReason& known : cell.panel.rows[cell.row].known) {
    const auto& names = known.columns;
    if (names.empty() || std::find(names.begin(), names.end(), column) != names.end()) {
      judged.reasons.push_back(known.why);
    }
  }
  const Selector selector = cell.selector();
  if (!find_measured_figure(*selector.figure).timed) return;
  if (selector.exponent_in) {
    const double spread = widest_spread(cell.measured.along(*selector.exponent_in, selector));
    if (spread >= kWideSpread) {
      judged.reasons.push_back(
          fmt::format("The points of a power are measured one after the other, and the machine was "
                      "not as fast at one as at another: rounds of a single point differ by up to "
                      "{:.1f} times.",
                      spread));
    }
    return;
  }
  const Row* row = cell.report_row();
  if (row != nullptr && !row->instability.empty()) {
    judged.reasons.push_back("These times are not to be relied on: " + row->instability + ".");
  }
}

JudgedCell judge_cell(const CellView& cell) {
  JudgedCell judged;
  const Selector selector = cell.selector();
  const MeasuredFigure& figure = find_measured_figure(*selector.figure);
  judged.measured = cell.value();
  judged.computed = *selector.figure == kComputed;
  if (!selector.exponent_in) {
    judged.unit = figure.unit;
    judged.unit_size = figure.unit_size;
  }
  const PublishedRow& row = cell.panel.rows[cell.row];
  for (const auto* rules :
       {&cell.panel.rules, &row.rules, &cell.panel.columns[cell.column].rules}) {
    add_outcomes(*rules, cell, judged);
  }
  if (!judged.measured) {
    if (selector.figure != kPrinted) judged.why_not = why_not_measured(cell);
    return judged;
  }
  if (judged.rules.empty()) {
    judged.verdict = CellVerdict::shown;
    return judged;
  }
  const bool passes = std::all_of(judged.rules.begin(), judged.rules.end(), holds);
  judged.verdict = passes ? CellVerdict::pass : CellVerdict::differs;
  if (!passes) add_reasons(cell, judged);
  return judged;
}

JudgedPanel judge_panel(const PublishedTable& table, const Panel& panel,
                        const Measurements& measured) {
  JudgedPanel judged;
  judged.panel = &panel;
  CellView cell{table, panel, measured};
  for (cell.row = 0; cell.row < panel.rows.size(); ++cell.row) {
    std::vector<JudgedCell>& cells = judged.cells.emplace_back();
    for (cell.column = 0; cell.column < panel.columns.size(); ++cell.column) {
      try {
        cells.push_back(judge_cell(cell));
      } catch (const Error& error) {
        throw Error(fmt::format("{}: {}, {}, {}: {}", table.path, panel.title,
                                panel.rows[cell.row].name, panel.columns[cell.column].name,
                                error.what()));
      }
    }
  }
  cell.row = cell.column = 0;
  for (const Rule& claim : panel.claims) {
    if (const auto finding = claim.judge(cell)) judged.claims.push_back({&claim, *finding});
  }
  return judged;
}

void count(const JudgedCell& cell, const PublishedValue& published, JudgedTable::Counts& counts) {
  counts.formulas += static_cast<int>(!cell.formulas.empty());
  counts.formulas_right += static_cast<int>(!cell.formulas.empty() && cell.formulas_hold());
  const bool judged = cell.verdict == CellVerdict::pass || cell.verdict == CellVerdict::differs;
  counts.judged += static_cast<int>(judged);
  counts.passed += static_cast<int>(cell.verdict == CellVerdict::pass);
  counts.not_measured += static_cast<int>(!cell.why_not.empty() && !published.text.empty());
  counts.differ_without_reason +=
      static_cast<int>(cell.verdict == CellVerdict::differs && cell.reasons.empty());
}

}  // namespace

const char* to_string(CellVerdict verdict) {
  static constexpr std::array kNames = {"pass", "differs", "shown", "not measured"};
  return kNames.at(static_cast<std::size_t>(verdict));
}

bool JudgedCell::formulas_hold() const {
  return std::all_of(formulas.begin(), formulas.end(), holds);
}

JudgedTable::Counts& JudgedTable::Counts::operator+=(const Counts& other) {
  formulas_right += other.formulas_right;
  formulas += other.formulas;
  passed += other.passed;
  judged += other.judged;
  not_measured += other.not_measured;
  differ_without_reason += other.differ_without_reason;
  return *this;
}

JudgedTable::Counts JudgedTable::counts() const {
  Counts counts;
  for (const JudgedPanel& panel : panels) {
    for (std::size_t row = 0; row < panel.cells.size(); ++row) {
      for (std::size_t column = 0; column < panel.cells[row].size(); ++column) {
        count(panel.cells[row][column], panel.panel->rows[row].values[column], counts);
      }
    }
    counts.judged += static_cast<int>(panel.claims.size());
    counts.passed +=
        static_cast<int>(std::count_if(panel.claims.begin(), panel.claims.end(), holds));
    counts.differ_without_reason += static_cast<int>(std::count_if(
        panel.claims.begin(), panel.claims.end(),
        [](const RuleOutcome& claim) { return !holds(claim) && claim.rule->known.empty(); }));
  }
  return counts;
}

JudgedTable judge(const PublishedTable& table, const Summary& summary) {
  JudgedTable judged;
  judged.table = &table;
  judged.notices = summary.notices;
  const Measurements measured(summary);
  for (const Panel& panel : table.panels) {
    judged.panels.push_back(judge_panel(table, panel, measured));
  }
  return judged;
}

}  // namespace subquad
