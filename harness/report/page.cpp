#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <stdexcept>

#include "measuring/metrics.h"
#include "report/grid.h"
#include "report/packed.h"
#include "report/render.h"
#include "report/scaling.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

/// Errors up to which the page says what is fastest.
constexpr std::array kErrors = {0.03, 0.1, 0.3};

/// What approximates dense within `budget` and cannot be told from the fastest that does.
Json fastest_within(const Table& table, const Budget& budget) {
  std::vector<Row> rows;
  std::copy_if(table.rows.begin(), table.rows.end(), std::back_inserter(rows), approximates_dense);
  Json variants = Json::array();
  for (const BudgetResult::Place& place : judge(rows, budget).places) {
    if (place.rank == 1) variants.push_back(rows[place.row].first().variant);
  }
  const auto limit = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  return {{"max_error", limit(budget.max_error)},
          {"memory_bytes", limit(budget.memory_bytes)},
          {"variants", std::move(variants)}};
}

Json choices_of(const Table& table, const ReportOptions& options) {
  Json choices = Json::array();
  for (const double error : kErrors) {
    choices.push_back(fastest_within(table, {.max_error = error, .memory_bytes = {}}));
  }
  if (options.budget) choices.push_back(fastest_within(table, *options.budget));
  return choices;
}

/// Numbers the series, tables that differ in their length alone, on the tables and on what was
/// computed over their lengths.
void add_series(const Summary& summary, Json& json) {
  std::map<const Record*, std::size_t> series_of;
  const auto series = tables_over_lengths(summary.tables);
  for (std::size_t s = 0; s < series.size(); ++s) {
    for (const Table* table : series[s]) {
      json["tables"][static_cast<std::size_t>(table - summary.tables.data())]["series"] = s;
      for (const Row& row : table->rows) {
        for (const Record* record : row.records) series_of[record] = s;
      }
    }
  }
  for (std::size_t s = 0; s < summary.scaling.size(); ++s) {
    json["scaling"][s]["series"] = series_of.at(summary.scaling[s].record);
  }
}

/// The report as JSON, and what the page needs beside it: to which series a table belongs, memory
/// in one figure, what to choose.
Json report_json(const Summary& summary) {
  Json json = summary_json(summary);
  add_series(summary, json);
  const Section section = table_section(summary, Width::full);
  json["legend"] = summary.tables.empty() ? std::vector<std::string>() : section.legend;
  for (std::size_t t = 0; t < summary.tables.size(); ++t) {
    const Table& table = summary.tables[t];
    Json& of_table = json["tables"][t];
    of_table["choices"] = choices_of(table, summary.options);
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
      const bool finished = !table.rows[r].finished().empty();
      of_table["rows"][r]["memory_bytes"] =
          finished ? Json(memory_bytes(table.rows[r])) : Json(nullptr);
    }
  }
  return json;
}

std::vector<const Record*> records_of(const Summary& summary) {
  std::vector<const Record*> records;
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) {
      records.insert(records.end(), row.records.begin(), row.records.end());
    }
  }
  return records;
}

/// Of a record what the page itself draws.
nlohmann::json shortened(const nlohmann::json& record) {
  nlohmann::json kept;
  for (const char* field : {"key", "experiment", "build", "direction", "seed", "threads", "batch",
                            "heads", "sampled", "reference_rows"}) {
    kept[field] = record.at(field);
  }
  const std::string headline(kHeadlineMetric);
  kept["error"] = nlohmann::json::object();
  if (record.at("error").contains(headline)) {
    kept["error"][headline] = record.at("error").at(headline);
  }
  kept["rounds"] = nlohmann::json::array();
  for (const nlohmann::json& round : record.at("rounds")) {
    nlohmann::json& one = kept["rounds"].emplace_back();
    for (const char* field : {"round", "time_ns", "anchor_ns", "iterations", "unix_time"}) {
      one[field] = round.at(field);
    }
  }
  return kept;
}

/// One record a line, as in points.jsonl.
std::string record_lines(const std::vector<const Record*>& records, bool whole) {
  std::string lines;
  for (const Record* record : records) {
    const nlohmann::json json = to_json(*record);
    lines += json_line(whole ? json : shortened(json));
    lines += '\n';
  }
  return lines;
}

Json metrics_json() {
  Json json = Json::object();
  for (const Metric& metric : metrics()) {
    json[std::string(metric.key)] = {{"label", metric.label}, {"doc", metric.doc}};
  }
  return json;
}

Json machines_json(const Summary& summary, const PageContents& contents) {
  std::set<std::string> identities;
  for (const Record* record : records_of(summary)) identities.insert(record->machine);
  Json machines = Json::array();
  for (const std::string& identity : identities) {
    const auto known =
        std::find_if(contents.machines.begin(), contents.machines.end(), [&](const Json& machine) {
          return machine.is_object() && machine.value("identity", Json()) == Json(identity);
        });
    machines.push_back(known != contents.machines.end() ? *known : Json{{"identity", identity}});
  }
  return machines;
}

std::string data_block(std::string_view id, const std::string& packed_text) {
  return fmt::format("<script type=\"text/plain\" id=\"{}\">{}</script>\n", id, packed_text);
}

}  // namespace

std::string render_page(std::string_view page, const Summary& summary,
                        const PageContents& contents) {
  const std::size_t place = page.find(kPageData);
  if (place == std::string_view::npos) throw std::logic_error("a page without a place for data");
  const std::vector<const Record*> records = records_of(summary);
  std::string lines = record_lines(records, true);
  const std::size_t whole_bytes = lines.size();
  lines = packed(lines);
  const bool whole = lines.size() <= kWholeRecordBytes;
  if (!whole) lines = packed(record_lines(records, false));
  Json runs = Json::array();
  for (const PageContents::Run& run : contents.runs) {
    runs.push_back({{"name", run.name}, {"config", run.config}});
  }
  const Json data = {
      {"runs", std::move(runs)},        {"machines", machines_json(summary, contents)},
      {"report", report_json(summary)}, {"metrics", metrics_json()},
      {"patterns", contents.patterns},  {"records", {{"whole", whole}, {"bytes", whole_bytes}}}};
  std::string text(page.substr(0, place));
  text += data_block("report-data", packed(json_line(data)));
  text += data_block("record-lines", lines);
  text += page.substr(place + kPageData.size());
  return text;
}

}  // namespace subquad
