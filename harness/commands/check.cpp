#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "contract/contract.h"
#include "layers/catalogue.h"

namespace subquad {
namespace {

nlohmann::ordered_json to_json(const ContractReport& report) {
  nlohmann::ordered_json clauses = nlohmann::ordered_json::array();
  for (const ClauseResult& clause : report.clauses) {
    clauses.push_back({{"clause", clause.clause},
                       {"status", to_string(clause.status)},
                       {"checked", clause.checked},
                       {"failures", clause.failures},
                       {"problem", clause.problem},
                       {"finding", clause.finding}});
  }
  return {{"variant", report.variant}, {"kept", report.kept()}, {"clauses", clauses}};
}

void print_text(const ContractReport& report) {
  fmt::print("{}: {}\n", report.variant,
             report.kept() ? "keeps the contract" : "BREAKS the contract");
  for (const ClauseResult& clause : report.clauses) {
    switch (clause.status) {
      case ClauseStatus::passed:
        fmt::print("  kept    {:<24} {} trials{}\n", clause.clause, clause.checked,
                   clause.finding.empty() ? "" : "; " + clause.finding);
        break;
      case ClauseStatus::not_applicable:
        fmt::print("  -       {:<24} {}\n", clause.clause, clause.finding);
        break;
      case ClauseStatus::failed:
        fmt::print("  BROKEN  {:<24} {} of {} trials, first on {}\n          {}\n", clause.clause,
                   clause.failures, clause.checked, clause.problem, clause.finding);
        break;
    }
  }
}

/// Arguments of an expression stay fixed in every trial.
ContractReport check_one(const std::string& word, ContractOptions options) {
  const Expression expression = parse_expression(word);
  const CatalogueEntry& entry = Catalogue::instance().find(expression.name);
  options.fixed = expression.arguments;
  return check_variant(entry, options);
}

int run_check(const ParsedOptions& options) {
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  ContractOptions contract;
  const auto clauses = options.values.find("clause");
  if (clauses != options.values.end()) {
    for (const OptionValue& clause : clauses->second) contract.clauses.push_back(clause.text);
  }
  std::vector<std::string> words = options.positional;
  if (words.empty()) words = Catalogue::instance().names();
  bool kept = true;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& word : words) {
    const ContractReport report = check_one(word, contract);
    kept = kept && report.kept();
    if (json) {
      all.push_back(to_json(report));
    } else {
      print_text(report);
      std::fflush(stdout);
    }
  }
  if (json) fmt::print("{}\n", all.dump(2));
  return kept ? kExitDone : kExitSomePointsFailed;
}

std::string clause_list() {
  std::string text = "Clauses:";
  for (const ClauseInfo& clause : contract_clauses()) {
    text += fmt::format("\n  {:<24} {}", clause.name, clause.meaning);
  }
  return text;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "check",
          .synopsis = "[VARIANT...] [--clause NAME] [--format json]",
          .summary = "holds variants against the contract (all of them by default)",
          .details = clause_list(),
          .options = {{"clause", "NAME", "only this clause; repeats"},
                      format_option("text or json"),
                      plugin_option()},
          .max_words = 1000,
          .run = run_check,
          .order = 3};
});

}  // namespace
}  // namespace subquad
