#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/grid.h"
#include "reproducing/judge.h"

namespace subquad {

/// A judged table as the report's sections: one grid for each panel, rules and findings below it.
std::vector<Section> sections(const JudgedTable& judged);
/// One line for each table, and their totals.
Section summary_section(const std::vector<JudgedTable>& tables);

/// Everything, for programs.
nlohmann::ordered_json to_json(const JudgedTable& judged);
nlohmann::ordered_json summary_to_json(const std::vector<JudgedTable>& tables);

}  // namespace subquad
