#include "reproducing/measured.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "expressions/settings.h"
#include "report/scaling.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using Figure = std::optional<double>;

Figure median_of(const std::optional<Estimate>& estimate) {
  return estimate ? Figure(estimate->median) : std::nullopt;
}

Figure time_of(const Row& row) { return median_of(row.time_ns); }

Figure time_per_token(const Row& row) {
  if (!row.time_ns) return std::nullopt;
  const Record& record = row.first();
  return row.time_ns->median / static_cast<double>(record.batch * record.problem.queries);
}

/// Everything that one pass needs: what was there before it, and what resident memory rose by.
Figure peak_bytes(const Row& row) {
  const Record& record = row.first();
  if (record.resident_bytes == 0) return std::nullopt;
  return static_cast<double>(record.input_bytes + record.parameter_bytes + record.random_bytes +
                             record.choice_bytes + record.resident_bytes);
}

/// The same without tensors of the variant's own.
Figure activation_bytes(const Row& row) {
  const Record& record = row.first();
  if (record.resident_bytes == 0) return std::nullopt;
  return static_cast<double>(record.input_bytes + record.resident_bytes);
}

/// Beside Q, K, V and the output; tensors that are drawn or learned not counted.
Figure attention_bytes(const Row& row) { return row.scratch_bytes; }

/// Which of many threads get work is the scheduler's affair; this is what all of them would hold.
Figure declared_bytes(const Row& row) {
  const Record& record = row.first();
  return static_cast<double>(record.scratch_declared_bytes + record.heap_bytes +
                             record.choice_bytes + record.layout_bytes);
}

Figure squared_error(const Row& row) {
  return row.spread ? Figure(row.spread->squared_error) : std::nullopt;
}

Figure negative_denominators(const Row& row) {
  if (!row.negative_denominators) return std::nullopt;
  return *row.negative_denominators / row.output_rows;
}

constexpr double kMebibyte = 0x1p20;

Index position(Axis axis, const Record& record) {
  return axis == Axis::length ? record.problem.keys : record.problem.dim;
}

bool means(const Selector& selector, const Record& record) {
  const auto agrees = [](const auto& wanted, const auto& value) {
    return !wanted || *wanted == value;
  };
  return agrees(selector.variant, record.variant) && agrees(selector.input, record.input) &&
         agrees(selector.length, record.problem.keys) && agrees(selector.dim, record.problem.dim) &&
         agrees(selector.heads, record.heads) && agrees(selector.threads, record.threads) &&
         agrees(selector.causal, record.problem.causal) &&
         agrees(selector.mode, record.direction) &&
         agrees(selector.feed_forward, record.feed_forward);
}

bool ended_well(const Row& row) { return row.status == Status::ok; }

std::string text_of(const Selector& selector) {
  std::string text = selector.variant.value_or("any variant");
  if (selector.length) text += fmt::format(", length = {}", *selector.length);
  if (selector.dim) text += fmt::format(", dim = {}", *selector.dim);
  if (selector.heads) text += fmt::format(", heads = {}", *selector.heads);
  if (selector.threads) text += fmt::format(", threads = {}", *selector.threads);
  if (selector.mode) text += ", " + *selector.mode;
  if (selector.feed_forward) text += fmt::format(", feed-forward = {}", *selector.feed_forward);
  if (selector.causal) text += *selector.causal ? ", causal" : ", not causal";
  if (selector.input) text += ", " + *selector.input;
  return text;
}

[[noreturn]] void ambiguous(const Selector& selector) {
  throw Error("a cell means several points (" + text_of(selector) +
              "): say more, or give no option that spans more");
}

}  // namespace

const std::vector<MeasuredFigure>& measured_figures() {
  static const std::vector<MeasuredFigure> kFigures = {
      {"time", "ms", 1e6, false, true, "of a forward pass, or of a decoded token", time_of},
      {"time_per_token", "µs", 1e3, false, true, "time over tokens of all sequences",
       time_per_token},
      {"processor_time", "ms", 1e6, false, true,
       "of all threads of a pass: what neighbours on the machine take does not count",
       [](const Row& row) { return row.processor_ns; }},
      {"speed_up", "x", 1, true, true, "over the anchor, round by round",
       [](const Row& row) { return median_of(row.speed_up); }},
      {"peak_bytes", "MiB", kMebibyte, false, false,
       "inputs, tensors, output and scratch: what resident memory rose by, and what was there",
       peak_bytes},
      {"activation_bytes", "MiB", kMebibyte, false, false,
       "the same without learned and random tensors", activation_bytes},
      {"scratch_bytes", "MiB", kMebibyte, false, false,
       "temporary memory of a pass, choices and heap included", attention_bytes},
      {"declared_bytes", "MiB", kMebibyte, false, false,
       "the same as declared: what a pass holds when every thread has work", declared_bytes},
      {"parameter_bytes", "MiB", kMebibyte, false, false, "learned and random tensors",
       [](const Row& row) { return row.parameter_bytes; }},
      {"state_bytes", "MiB", kMebibyte, false, false, "of a decoder",
       [](const Row& row) { return row.state_bytes; }},
      {"multiply_adds", "M", 1e6, false, false, "useful ones of a pass",
       [](const Row& row) { return Figure(row.first().useful_multiply_adds); }},
      {"executed_multiply_adds", "M", 1e6, false, false, "executed ones of a pass",
       [](const Row& row) { return Figure(row.first().executed_multiply_adds); }},
      {"error", "", 1, true, false, "relative, against dense; median over heads",
       [](const Row& row) { return median_of(row.error); }},
      {"target_error", "", 1, true, false, "relative, against the variant's own dense target",
       [](const Row& row) { return median_of(row.target_error); }},
      {"squared_error", "", 1, true, false,
       "square of the relative error, mean over heads, seeds and draws", squared_error},
      {"spectral_error", "", 1, true, false,
       "relative, in the spectral norm, against dense; median over heads",
       [](const Row& row) { return median_of(metric_of(row, "spectral_error")); }},
      {"row_recall", "", 1, true, false,
       "share of rows that are nearest to their own exact row; median over heads",
       [](const Row& row) { return median_of(metric_of(row, "row_recall")); }},
      {"negative_denominators", "", 1, true, false,
       "share of rows whose weights sum to less than 0", negative_denominators},
      {kComputed, "", 1, true, false, "not measured: the value of the key `computed`",
       [](const Row&) { return Figure(); }},
      {kPrinted, "", 1, true, false, "nothing is measured: the cell holds what was printed",
       [](const Row&) { return Figure(); }},
      {"dropped_mass", "", 1, true, false, "attention mass of keys that were left out",
       [](const Row& row) { return median_of(row.dropped_mass); }},
  };
  return kFigures;
}

const MeasuredFigure& find_measured_figure(const std::string& key) {
  std::vector<std::string> keys;
  for (const MeasuredFigure& figure : measured_figures()) {
    if (key == figure.key) return figure;
    keys.emplace_back(figure.key);
  }
  throw Error("names an unknown figure '" + key + "'" + suggestion(key, keys));
}

Measurements::Measurements(const Summary& summary) {
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) rows_.push_back(&row);
  }
}

const Row* Measurements::find(const Selector& selector) const {
  const Row* found = nullptr;
  if (!selector.variant) return found;
  for (const Row* row : rows_) {
    if (!means(selector, row->first())) continue;
    if (found != nullptr) ambiguous(selector);
    found = row;
  }
  return found;
}

std::vector<std::pair<Index, const Row*>> Measurements::along(Axis axis,
                                                              const Selector& selector) const {
  std::map<Index, const Row*> by_position;
  if (!selector.variant) return {};
  for (const Row* row : rows_) {
    const Index place = position(axis, row->first());
    if (!means(selector, row->first()) || !ended_well(*row)) continue;
    if (place < selector.from.value_or(place) || place > selector.to.value_or(place)) continue;
    if (!by_position.emplace(place, row).second) ambiguous(selector);
  }
  return {by_position.begin(), by_position.end()};
}

std::optional<double> measured_value(const Measurements& measured, const Selector& selector) {
  const MeasuredFigure& figure = find_measured_figure(selector.figure.value());
  if (!selector.exponent_in) {
    const Row* row = measured.find(selector);
    return row != nullptr && ended_well(*row) ? figure.of(*row) : std::nullopt;
  }
  std::vector<std::pair<Index, double>> points;
  for (const auto& [place, row] : measured.along(*selector.exponent_in, selector)) {
    const std::optional<double> value = figure.of(*row);
    if (!value) continue;
    // Nothing at any size grows with no power: a method that needs no scratch at all.
    points.emplace_back(place, *value);
  }
  if (points.size() < 2) return std::nullopt;
  const auto is_zero = [](const auto& point) { return point.second == 0; };
  if (std::all_of(points.begin(), points.end(), is_zero)) return 0;
  if (std::any_of(points.begin(), points.end(), is_zero)) return std::nullopt;
  return exponent_of(points).value;
}

Variables variables_of_record(const Record& record) {
  Variables variables = variables_of(record.problem);
  const std::array<std::pair<const char*, double>, 5> more = {
      {{"batch", static_cast<double>(record.batch)},
       {"heads", static_cast<double>(record.heads)},
       {"key_heads", static_cast<double>(record.key_heads)},
       {"threads", static_cast<double>(record.threads)},
       {"feed_forward", static_cast<double>(record.feed_forward)}}};
  for (const auto& [name, value] : more) variables.push_back({name, value});
  return variables;
}

std::optional<double> computed_value(const PublishedTable& table, const Panel& panel,
                                     std::size_t row, std::size_t column) {
  const Selector selector = panel.selector_of(row, column);
  if (selector.figure != kComputed || !selector.computed) return std::nullopt;
  if (panel.rows[row].values[column].text.empty()) return std::nullopt;
  return table.value_of(*selector.computed, table.formula_variables(panel, row, column));
}

}  // namespace subquad
