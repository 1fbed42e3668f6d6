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

Json to_json(const Row& row) {
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
          {"reference_rows", r.reference_rows},
          {"time_ns", to_json(row.time_ns)},
          {"speed_up", to_json(row.speed_up)},
          {"useful_flops_per_second", to_json(row.useful_flops)},
          {"executed_flops_per_second", to_json(row.executed_flops)},
          {"efficiency", to_json(row.efficiency)},
          {"scratch_bytes", to_json(row.scratch_bytes)},
          {"parameter_bytes", to_json(row.parameter_bytes)},
          {"relative_error", to_json(row.error)},
          {"target_relative_error", to_json(row.target_error)},
          {"dropped_mass", to_json(row.dropped_mass)},
          {"seeds", std::move(seeds)}};
}

Json to_json(const Table& table) {
  const Record& r = table.first();
  const Problem& p = r.problem;
  Json rows = Json::array();
  for (const Row& row : table.rows) rows.push_back(to_json(row));
  return {{"input", r.input},
          {"keys", p.keys},
          {"queries", p.queries},
          {"dim", p.dim},
          {"value_dim", p.value_dim},
          {"causal", p.causal},
          {"first_query", p.first_query},
          {"scale", p.score_scale()},
          {"batch", r.batch},
          {"heads", r.heads},
          {"key_heads", r.key_heads},
          {"threads", r.threads},
          {"direction", r.direction},
          {"anchor", table.anchor.empty() ? Json(nullptr) : Json(table.anchor)},
          {"rows", std::move(rows)}};
}

}  // namespace

std::string render_json(const Summary& summary) {
  Json tables = Json::array();
  for (const Table& table : summary.tables) tables.push_back(to_json(table));
  const Json json = {{"record_schema", kRecordSchema},
                     {"notices", summary.notices},
                     {"tables", std::move(tables)}};
  // A path given on the command line need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace subquad
