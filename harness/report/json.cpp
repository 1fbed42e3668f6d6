#include <nlohmann/json.hpp>

#include "report/render.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

/// Not a number and what was not taken are both null.
Json to_json(const std::optional<double>& figure) { return figure ? Json(*figure) : Json(nullptr); }

Json to_json(const std::optional<Estimate>& estimate) {
  if (!estimate) return nullptr;
  Json json = {{"median", estimate->median}, {"low", estimate->low}, {"high", estimate->high}};
  if (estimate->coverage > 0) json["coverage"] = estimate->coverage;
  return json;
}

Json to_json(const std::optional<Deviation>& deviation) {
  if (!deviation) return nullptr;
  return {{"value", deviation->value}, {"negative_estimate", deviation->negative}};
}

Json to_json(const std::optional<Spread>& spread) {
  if (!spread) return nullptr;
  return {{"seeds", spread->seeds},
          {"draws", spread->draws},
          {"mean_relative_error", spread->error},
          {"relative_error_deviation_method", to_json(spread->method_error)},
          {"relative_error_deviation_input", to_json(spread->input_error)},
          {"method_in_input", spread->method_in_input},
          {"relative_time_deviation_timing", to_json(spread->timing_time)},
          {"relative_time_deviation_input", to_json(spread->input_time)}};
}

Json to_json(const std::optional<RowRoofline>& roofline) {
  if (!roofline) return nullptr;
  return {{"peak_gflops", roofline->peak_gflops},
          {"bf16_peak_gflops", roofline->bf16_peak_gflops},
          {"useful_share_of_peak", to_json(std::optional(roofline->useful_share))},
          {"executed_share_of_peak", to_json(std::optional(roofline->executed_share))},
          {"flops_per_byte", roofline->intensity},
          {"attainable_gflops", roofline->attainable_gflops},
          {"share_of_attainable", to_json(std::optional(roofline->attainable_share))}};
}

Json to_json(const std::optional<Exponent>& exponent) {
  if (!exponent) return nullptr;
  Json json = {{"exponent", exponent->value}, {"margin", to_json(exponent->margin)}};
  json["last_step"] = nullptr;
  if (const auto& step = exponent->last_step) {
    json["last_step"] = {{"from", step->from}, {"to", step->to}, {"exponent", step->value}};
  }
  return json;
}

const char* verdict(Side speed_up) {
  if (speed_up == Side::open) return "undecided";
  return speed_up == Side::above ? "faster" : "slower";
}

Json to_json(const std::optional<Crossover>& crossover) {
  if (!crossover) return nullptr;
  const auto length = [](const std::optional<Index>& keys) {
    return keys ? Json(*keys) : Json(nullptr);
  };
  Json lengths = Json::array();
  for (const auto& [keys, side] : crossover->lengths) {
    lengths.push_back({{"keys", keys}, {"verdict", verdict(side)}});
  }
  return {{"state", to_string(crossover->state)},
          {"slower_until", length(crossover->slower_until)},
          {"faster_from", length(crossover->faster_from)},
          {"slower_from", length(crossover->slower_from)},
          {"lengths", std::move(lengths)}};
}

Json to_json(const BudgetResult& result, const std::vector<Row>& rows) {
  Json within = Json::array(), misses = Json::array();
  for (const BudgetResult::Place& place : result.places) {
    within.push_back({{"rank", place.rank},
                      {"variant", rows[place.row].first().variant},
                      {"relative_error_at_most", to_json(place.error)},
                      {"memory_bytes", place.memory_bytes}});
  }
  for (const BudgetResult::Miss& miss : result.misses) {
    misses.push_back({{"variant", rows[miss.row].first().variant}, {"reason", miss.reason}});
  }
  return {{"within", std::move(within)}, {"misses", std::move(misses)}};
}

/// What tables of one series share; the length is theirs to say.
Json setting_json(const Record& r, const std::string& anchor) {
  const Problem& p = r.problem;
  return {{"machine", r.machine},
          {"input", r.input},
          {"dim", p.dim},
          {"value_dim", p.value_dim},
          {"causal", p.causal},
          {"scale", p.score_scale()},
          {"batch", r.batch},
          {"heads", r.heads},
          {"key_heads", r.key_heads},
          {"threads", r.threads},
          {"direction", r.direction},
          {"decoded_tokens", r.decoded_tokens},
          {"feed_forward", r.feed_forward},
          {"feed_forward_chunk", r.feed_forward_chunk},
          {"model", r.model},
          {"replaced", r.replaced},
          {"anchor", anchor.empty() ? Json(nullptr) : Json(anchor)}};
}

Json to_json(const Row& row, bool unbeaten) {
  Json seeds = Json::array();
  for (const Record* record : row.records) {
    seeds.push_back({{"seed", record->seed},
                     {"key", record->key},
                     {"build", record->build},
                     {"status", to_string(record->status)},
                     {"reason", record->reason},
                     {"rounds", record->rounds.size()},
                     {"command", record->command}});
  }
  const Record& r = row.first();
  return {{"variant", r.variant},
          {"resolved", r.resolved},
          {"family", r.family},
          {"target", r.target},
          {"dense_target", r.dense_target},
          {"status", to_string(row.status)},
          {"remark", row.remark},
          {"stale", row.stale},
          {"sampled", row.sampled},
          {"unstable", !row.instability.empty()},
          {"instability", row.instability},
          {"on_frontier", unbeaten},
          {"reference_rows", r.reference_rows},
          {row.decodes() ? "time_per_token_ns" : "time_ns", to_json(row.time_ns)},
          {"speed_up", to_json(row.speed_up)},
          {"useful_flops_per_second", to_json(row.useful_flops)},
          {"executed_flops_per_second", to_json(row.executed_flops)},
          {"efficiency", to_json(row.efficiency)},
          {"roofline", to_json(row.roofline)},
          {"scratch_bytes", to_json(row.scratch_bytes)},
          {"state_bytes", to_json(row.state_bytes)},
          {"parameter_bytes", to_json(row.parameter_bytes)},
          {"heap_allocations", row.heap_allocations},
          {"heap_bytes", row.heap_bytes},
          {"heap_kept_bytes", row.heap_kept_bytes},
          {"relative_error", to_json(row.error)},
          {"relative_error_deviation", to_json(row.error_deviation)},
          {"target_relative_error", to_json(row.target_error)},
          {"dropped_mass", to_json(row.dropped_mass)},
          {"negative_denominators", to_json(row.negative_denominators)},
          {"output_rows", row.negative_denominators ? Json(row.output_rows) : Json(nullptr)},
          {"spread", to_json(row.spread)},
          {"seeds", std::move(seeds)}};
}

Json to_json(const std::map<std::string, Estimate>& attention, std::int64_t query_rows) {
  if (attention.empty()) return nullptr;
  Json json = {{"query_rows", query_rows}};
  for (const auto& [key, estimate] : attention) json[key] = to_json(std::optional(estimate));
  return json;
}

Json to_json(const Table& table) {
  const Problem& p = table.first().problem;
  Json json = setting_json(table.first(), table.anchor);
  json["keys"] = p.keys;
  json["queries"] = p.queries;
  json["first_query"] = p.first_query;
  json["rows"] = Json::array();
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    json["rows"].push_back(to_json(table.rows[i], table.frontier.unbeaten[i]));
  }
  json["attention"] = to_json(table.attention, table.attention_rows);
  json["hypervolume"] = to_json(table.frontier.hypervolume);
  json["family_hypervolume"] = table.frontier.family_hypervolume;
  json["beaten_by_control"] = table.frontier.beaten_by_control;
  if (table.budget) json["budget"] = to_json(*table.budget, table.rows);
  return json;
}

Json to_json(const Series& series) {
  Json json = setting_json(*series.record, series.anchor);
  json["lengths"] = series.lengths;
  json["variants"] = Json::array();
  for (const Trend& trend : series.trends) {
    json["variants"].push_back(
        {{"variant", trend.record->variant},
         {"target", trend.record->target},
         {"lengths", trend.lengths},
         {"time", to_json(trend.time)},
         {"work", to_json(trend.work)},
         {trend.record->decodes() ? "state" : "scratch", to_json(trend.memory)},
         {"parameters", to_json(trend.parameters)},
         {"quadratic", trend.is_quadratic()},
         {"crossover", to_json(trend.crossover)}});
  }
  return json;
}

}  // namespace

std::string render_json(const Summary& summary) {
  Json tables = Json::array();
  for (const Table& table : summary.tables) tables.push_back(to_json(table));
  Json scaling = Json::array();
  for (const Series& series : summary.scaling) scaling.push_back(to_json(series));
  Json json = {{"record_schema", kRecordSchema},
               {"notices", summary.notices},
               {"tables", std::move(tables)},
               {"scaling", std::move(scaling)}};
  if (const auto& budget = summary.options.budget) {
    json["budget"] = {{"max_relative_error", to_json(budget->max_error)},
                      {"memory_bytes", to_json(budget->memory_bytes)}};
  }
  // A path given on the command line need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace subquad
