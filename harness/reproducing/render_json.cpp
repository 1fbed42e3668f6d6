#include "reproducing/render.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

Json outcomes_to_json(const std::vector<RuleOutcome>& outcomes) {
  Json all = Json::array();
  for (const RuleOutcome& outcome : outcomes) {
    all.push_back({{"rule", outcome.rule->text},
                   {"holds", outcome.finding.holds},
                   {"found", outcome.finding.text}});
  }
  return all;
}

/// `measured` is in base units: nanoseconds, bytes.
Json cell_to_json(const JudgedCell& cell, const PublishedRow& row, std::size_t column,
                  const std::string& column_name) {
  const PublishedValue& value = row.values[column];
  Json json = {{"row", row.name}, {"column", column_name}, {"mark", row.mark}};
  json["published"] = value.number         ? Json(*value.number)
                      : value.text.empty() ? Json(nullptr)
                                           : Json(value.text);
  json["measured"] = cell.measured ? Json(*cell.measured) : Json(nullptr);
  json["computed"] = cell.computed;
  json["verdict"] = to_string(cell.verdict);
  if (!cell.why_not.empty()) json["why_not"] = cell.why_not;
  json["formulas"] = outcomes_to_json(cell.formulas);
  json["rules"] = outcomes_to_json(cell.rules);
  json["reasons"] = cell.reasons;
  return json;
}

Json counts_to_json(const JudgedTable::Counts& counts) {
  return {{"formulas_right", counts.formulas_right},
          {"formulas", counts.formulas},
          {"passed", counts.passed},
          {"judged", counts.judged},
          {"differ_without_reason", counts.differ_without_reason},
          {"not_measured", counts.not_measured}};
}

}  // namespace

Json to_json(const JudgedTable& judged) {
  const PublishedTable& table = *judged.table;
  Json json = {{"table", table.name},
               {"title", table.title},
               {"source",
                {{"paper", table.source.paper},
                 {"place", table.source.place},
                 {"arxiv", table.source.arxiv}}},
               {"panels", Json::array()}};
  for (const JudgedPanel& panel : judged.panels) {
    Json cells = Json::array();
    for (std::size_t i = 0; i < panel.cells.size(); ++i) {
      for (std::size_t j = 0; j < panel.cells[i].size(); ++j) {
        cells.push_back(
            cell_to_json(panel.cells[i][j], panel.panel->rows[i], j, panel.panel->columns[j].name));
      }
    }
    json["panels"].push_back({{"title", panel.panel->title},
                              {"published_unit", panel.panel->unit},
                              {"cells", std::move(cells)},
                              {"claims", outcomes_to_json(panel.claims)}});
  }
  json["counts"] = counts_to_json(judged.counts());
  json["seconds"] = judged.seconds;
  json["all_points_well"] = judged.all_well;
  return json;
}

Json summary_to_json(const std::vector<JudgedTable>& tables) {
  Json json = {{"tables", Json::array()}};
  JudgedTable::Counts total;
  for (const JudgedTable& table : tables) {
    json["tables"].push_back(to_json(table));
    total += table.counts();
  }
  json["totals"] = counts_to_json(total);
  return json;
}

}  // namespace subquad
