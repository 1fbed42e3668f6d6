#include "reproducing/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "experiments/experiment.h"
#include "expressions/expression.h"
#include "expressions/settings.h"
#include "reproducing/json_fields.h"
#include "reproducing/measured.h"
#include "reproducing/rules.h"
#include "subquad/error.h"
#include "texts/strict_json.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxFileBytes = 1 << 20;
constexpr JsonLimits kLimits = {.depth = 12, .values = 50000, .elements = 1000};
constexpr std::array kMarks = {"V", "S", "D", "M"};

std::optional<Index> maybe_whole(JsonFields& fields, const std::string& name) {
  return fields.has(name) ? std::optional<Index>(fields.whole(name, 1)) : std::nullopt;
}

/// An expression in the spelling that records have.
std::string canonical(JsonFields& fields, const std::string& name) {
  try {
    return parse_expression(fields.text(name)).text();
  } catch (const Error& error) {
    fields.fail(name + ": " + error.what());
  }
}

Axis read_axis(JsonFields& fields, const std::string& name) {
  const std::string text = fields.text(name);
  if (text == "length") return Axis::length;
  if (text == "dim") return Axis::dim;
  fields.fail(fmt::format("{} = {} is neither length nor dim", name, text));
}

std::string read_mode(JsonFields& fields) {
  const std::string text = fields.text("mode");
  std::vector<std::string> modes;
  for (const Mode mode : {Mode::forward, Mode::decode, Mode::block}) {
    modes.emplace_back(to_string(mode));
  }
  if (std::find(modes.begin(), modes.end(), text) == modes.end()) {
    fields.fail(fmt::format("mode = {} is none of {}", text, fmt::join(modes, ", ")));
  }
  return text;
}

Selector read_selector(JsonFields& fields) {
  Selector selector;
  if (fields.has("figure")) selector.figure = read_figure(fields);
  if (fields.has("variant")) selector.variant = canonical(fields, "variant");
  if (fields.has("input")) selector.input = canonical(fields, "input");
  selector.length = maybe_whole(fields, "length");
  selector.dim = maybe_whole(fields, "dim");
  selector.heads = maybe_whole(fields, "heads");
  selector.threads = maybe_whole(fields, "threads");
  if (fields.has("feed_forward")) selector.feed_forward = fields.whole("feed_forward", 0);
  if (fields.has("mode")) selector.mode = read_mode(fields);
  if (fields.has("computed")) selector.computed = fields.text("computed");
  selector.from = maybe_whole(fields, "from");
  selector.to = maybe_whole(fields, "to");
  if (const nlohmann::json* causal = fields.find("causal")) {
    if (!causal->is_boolean()) fields.fail("causal is neither true nor false");
    selector.causal = causal->get<bool>();
  }
  if (fields.has("exponent_in")) selector.exponent_in = read_axis(fields, "exponent_in");
  return selector;
}

Variables read_variables(JsonFields& fields, const std::string& name) {
  Variables variables;
  if (!fields.has(name)) return variables;
  JsonFields object = fields.object(name);
  for (const std::string& key : object.names()) variables.push_back({key, object.number(key)});
  return variables;
}

std::vector<Rule> read_rules(JsonFields& fields, const std::string& name, bool of_panel) {
  std::vector<Rule> rules;
  for (JsonFields& rule : fields.objects(name)) rules.push_back(read_rule(rule, of_panel));
  return rules;
}

PublishedColumn read_column(JsonFields fields) {
  PublishedColumn column;
  column.name = fields.text("name");
  column.selector = read_selector(fields);
  column.variables = read_variables(fields, "with");
  column.rules = read_rules(fields, "rules", false);
  for (Rule& rule : column.rules) rule.columns = {column.name};
  fields.done();
  return column;
}

PublishedValue read_value(const nlohmann::json& json, const JsonFields& fields) {
  if (json.is_null()) return {};
  if (json.is_number()) return {json.get<double>(), json.dump()};
  if (json.is_string()) return {std::nullopt, json.get<std::string>()};
  fields.fail("values holds what is neither number, text nor null");
}

std::vector<PublishedValue> read_values(JsonFields& fields, std::size_t count) {
  std::vector<PublishedValue> values;
  const nlohmann::json* list = fields.find("values");
  if (list == nullptr) return std::vector<PublishedValue>(count);
  if (!list->is_array()) fields.fail("values is no list");
  for (const nlohmann::json& value : *list) values.push_back(read_value(value, fields));
  if (values.size() != count) {
    fields.fail(fmt::format("values holds {} elements for {} columns", values.size(), count));
  }
  return values;
}

void check_columns(const std::vector<std::string>& names, const Panel& panel,
                   const JsonFields& fields) {
  std::vector<std::string> all;
  for (const PublishedColumn& column : panel.columns) all.push_back(column.name);
  for (const std::string& name : names) {
    if (std::find(all.begin(), all.end(), name) == all.end()) {
      fields.fail("names an unknown column '" + name + "'" + suggestion(name, all));
    }
  }
}

PublishedRow read_row(JsonFields fields, const Panel& panel) {
  PublishedRow row;
  row.name = fields.text("name");
  row.selector = read_selector(fields);
  row.variables = read_variables(fields, "with");
  row.unmeasured = fields.text("unmeasured", "");
  row.values = read_values(fields, panel.columns.size());
  const bool has_values = std::any_of(row.values.begin(), row.values.end(),
                                      [](const PublishedValue& v) { return !v.text.empty(); });
  row.mark = fields.text("mark", "");
  if (has_values && std::find(kMarks.begin(), kMarks.end(), row.mark) == kMarks.end()) {
    fields.fail(fmt::format("mark = '{}' is not one of {}", row.mark, fmt::join(kMarks, ", ")));
  }
  row.rules = read_rules(fields, "rules", false);
  for (JsonFields& known : fields.objects("known")) {
    row.known.push_back({known.texts("columns"), known.text("why")});
    check_columns(row.known.back().columns, panel, known);
    known.done();
  }
  fields.done();
  return row;
}

/// What a rule needs of the panel around it; `rows` are those that it may be for.
void check_rule(const Rule& rule, const Panel& panel, const JsonFields& fields) {
  check_columns(rule.columns, panel, fields);
  std::vector<std::string> rows;
  for (const PublishedRow& row : panel.rows) rows.push_back(row.name);
  for (const std::string& name : rule.rows) {
    if (std::find(rows.begin(), rows.end(), name) == rows.end()) {
      fields.fail("has a rule over an unknown row '" + name + "'" + suggestion(name, rows));
    }
  }
  if (!rule.needs_ratios) return;
  for (std::size_t row = 0; row < panel.rows.size(); ++row) {
    for (std::size_t column = 0; column < panel.columns.size(); ++column) {
      const std::string figure = panel.selector_of(row, column).figure.value();
      if (!rule.is_for(panel, row, column) || find_measured_figure(figure).dimensionless) continue;
      fields.fail("holds " + figure + " against published figures, which were taken on another " +
                  "machine: like_published needs 'over'");
    }
  }
}

void check_rules(const Panel& panel, const JsonFields& fields) {
  for (const Rule& rule : panel.rules) check_rule(rule, panel, fields);
  for (const Rule& rule : panel.claims) check_columns(rule.columns, panel, fields);
  for (const PublishedColumn& column : panel.columns) {
    for (const Rule& rule : column.rules) check_rule(rule, panel, fields);
  }
  for (const PublishedRow& row : panel.rows) {
    for (const Rule& rule : row.rules) check_rule(rule, panel, fields);
  }
}

Panel read_panel(JsonFields fields) {
  Panel panel;
  panel.title = fields.text("title");
  panel.unit = fields.text("unit", "");
  panel.selector = read_selector(fields);
  for (JsonFields& column : fields.objects("columns")) panel.columns.push_back(read_column(column));
  if (panel.columns.empty()) fields.fail("has no columns");
  for (JsonFields& row : fields.objects("rows")) panel.rows.push_back(read_row(row, panel));
  if (panel.rows.empty()) fields.fail("has no rows");
  panel.rules = read_rules(fields, "rules", false);
  panel.claims = read_rules(fields, "claims", true);
  panel.notes = fields.texts("notes");
  for (std::size_t row = 0; row < panel.rows.size(); ++row) {
    for (std::size_t column = 0; column < panel.columns.size(); ++column) {
      const Selector selector = panel.selector_of(row, column);
      if (!selector.figure) fields.fail("says no figure");
      if (*selector.figure == kComputed && !selector.computed &&
          panel.rows[row].unmeasured.empty()) {
        fields.fail(fmt::format("{}, {}: has neither a formula 'computed' nor 'unmeasured'",
                                panel.rows[row].name, panel.columns[column].name));
      }
      if (selector.variant && selector.variant->find('{') != std::string::npos) {
        fields.fail(fmt::format("{}, {}: {} names a variable that neither row nor column has",
                                panel.rows[row].name, panel.columns[column].name,
                                *selector.variant));
      }
    }
  }
  check_rules(panel, fields);
  fields.done();
  return panel;
}

PublishedRun read_run(JsonFields fields, const std::string& folder) {
  PublishedRun run;
  const std::string config = fields.text("config");
  run.config = folder + "/" + config;
  run.name = fields.text("name", fs::path(config).stem().string());
  if (fields.has("set")) {
    JsonFields set = fields.object("set");
    for (const std::string& key : set.names()) run.settings[key] = set.text(key);
  }
  fields.done();
  return run;
}

/// Runs, of which each has a folder of its own.
std::vector<PublishedRun> read_runs(JsonFields& fields, const std::string& folder,
                                    const std::string& name) {
  std::vector<PublishedRun> runs;
  for (JsonFields& run : fields.objects("runs")) {
    runs.push_back(read_run(run, folder));
    const auto same = [&](const PublishedRun& other) { return other.name == runs.back().name; };
    if (std::count_if(runs.begin(), runs.end(), same) > 1) {
      run.fail("has the name '" + runs.back().name + "' of an earlier run");
    }
  }
  if (!fields.has("runs")) runs.push_back({name, folder + "/" + name + ".cfg", {}});
  return runs;
}

std::vector<std::pair<std::string, std::string>> read_parts(JsonFields& fields) {
  std::vector<std::pair<std::string, std::string>> parts;
  for (JsonFields& part : fields.objects("parts")) {
    parts.emplace_back(part.text("name"), part.text("formula"));
    part.done();
  }
  return parts;
}

/// Formulas may name what there is: better said now than when everything has been measured.
void check_formulas(const PublishedTable& table, const Panel& panel, std::size_t row,
                    std::size_t column, const std::vector<Rule>& rules) {
  constexpr Index kLength = 1024, kDim = 64;  // any will do that leaves formulas finite
  Record record;
  record.problem = {.queries = kLength, .keys = kLength, .dim = kDim, .value_dim = kDim};
  for (const Rule& rule : rules) {
    if (rule.formula.empty() || !rule.is_for(panel, row, column)) continue;
    const bool of_paper = rule.scope == RuleScope::published;
    Variables variables =
        of_paper ? table.formula_variables(panel, row, column) : variables_of_record(record);
    for (const Variables* more : {&panel.rows[row].variables, &panel.columns[column].variables}) {
      variables.insert(variables.end(), more->begin(), more->end());
    }
    for (const char* name : {kPrevious, kMeanLeft}) {
      if (of_paper) variables.push_back({name, 1});
    }
    table.value_of(rule.formula, variables);
  }
}

void check_formulas(const PublishedTable& table, const Panel& panel, std::size_t row,
                    std::size_t column) {
  try {
    for (const auto* rules : {&panel.rules, &panel.rows[row].rules, &panel.columns[column].rules}) {
      check_formulas(table, panel, row, column, *rules);
    }
    computed_value(table, panel, row, column);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}, {}, {}: {}", table.path, panel.title, panel.rows[row].name,
                            panel.columns[column].name, error.what()));
  }
}

void check_formulas(const PublishedTable& table) {
  for (const Panel& panel : table.panels) {
    for (std::size_t row = 0; row < panel.rows.size(); ++row) {
      for (std::size_t column = 0; column < panel.columns.size(); ++column) {
        check_formulas(table, panel, row, column);
      }
    }
  }
}

std::string read_file(const std::string& path) {
  std::error_code code;
  const std::uintmax_t size = fs::file_size(path, code);
  if (code) throw Error(path + ": cannot be read: " + code.message());
  if (size > kMaxFileBytes) throw Error(path + ": is larger than 1 MiB");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw Error(path + ": cannot be read");
  return text.str();
}

}  // namespace

PublishedTable read_published_table(const std::string& path) {
  return parse_published_table(read_file(path), path);
}

PublishedTable parse_published_table(std::string_view text, const std::string& path) {
  const nlohmann::json json = parse_strict_json(text, kLimits, path + ":");
  JsonFields fields(json, path + ":");
  PublishedTable table;
  table.path = path;
  const std::string file = fs::path(path).filename().string();
  table.name = file.ends_with(kPublishedEnding)
                   ? file.substr(0, file.size() - kPublishedEnding.size())
                   : file;
  table.title = fields.text("title");
  JsonFields source = fields.object("source");
  table.source = {source.text("paper"), source.text("place"), source.text("arxiv")};
  source.done();
  table.judged = fields.text("judged");
  table.minutes = fields.number("minutes");
  table.runs = read_runs(fields, fs::path(path).parent_path().string(), table.name);
  table.shape = read_variables(fields, "shape");
  table.parts = read_parts(fields);
  for (JsonFields& panel : fields.objects("panels")) table.panels.push_back(read_panel(panel));
  if (table.panels.empty()) fields.fail("has no panels");
  table.notes = fields.texts("notes");
  fields.done();
  check_formulas(table);
  return table;
}

}  // namespace subquad
