#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands/child_ending.h"
#include "commands/command.h"
#include "contract/contract.h"
#include "layers/catalogue.h"
#include "measuring/process.h"
#include "measuring/timing.h"
#include "subquad/error.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const ContractReport& report) {
  Json clauses = Json::array();
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

/// The inverse, for what a child sent.
ContractReport report_from_json(const Json& json) {
  ContractReport report;
  report.variant = json.at("variant");
  for (const Json& clause : json.at("clauses")) {
    ClauseResult& result = report.clauses.emplace_back();
    result.clause = clause.at("clause");
    for (const ClauseStatus status :
         {ClauseStatus::passed, ClauseStatus::failed, ClauseStatus::not_applicable}) {
      if (clause.at("status") == to_string(status)) result.status = status;
    }
    result.checked = clause.at("checked");
    result.failures = clause.at("failures");
    result.problem = clause.at("problem");
    result.finding = clause.at("finding");
  }
  return report;
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

/// All clauses of one variant; the slowest takes some seconds.
constexpr double kDefaultSeconds = 300;

std::vector<std::string> values_of(const ParsedOptions& options, const std::string& name) {
  std::vector<std::string> values;
  const auto given = options.values.find(name);
  if (given == options.values.end()) return values;
  for (const OptionValue& value : given->second) values.push_back(value.text);
  return values;
}

/// What a child does: {"clause", "problem"} before each trial, in the end the report or
/// {"error"}. Arguments of an expression stay fixed in every trial.
int check_over_channel(const ParsedOptions& options) {
  Channel channel(channel_of(options));
  try {
    const Expression expression = parse_expression(options.positional.front());
    ContractOptions contract;
    contract.fixed = expression.arguments;
    contract.clauses = values_of(options, "clause");
    contract.watch = [&](std::string_view clause, const std::string& problem) {
      channel.send(json_line(Json{{"clause", clause}, {"problem", problem}}));
    };
    const CatalogueEntry entry = Catalogue::instance().find(expression.name);
    channel.send(json_line(to_json(check_variant(entry, contract))));
  } catch (const Error& error) {
    channel.send(json_line(Json{{"error", error.what()}}));
  }
  return kExitDone;
}

/// The report on a variant whose process did not live to give one: the clause that it was at is
/// broken, and nothing is known of the others.
ContractReport report_of_end(const std::string& variant, const Json& last, std::string finding) {
  ContractReport report{.variant = variant, .clauses = {}};
  report.clauses.push_back({.clause = last.value("clause", "declarations"),
                            .status = ClauseStatus::failed,
                            .problem = last.value("problem", "any problem"),
                            .finding = std::move(finding),
                            .checked = 1,
                            .failures = 1});
  return report;
}

/// In a process of its own, as a variant may crash or never return.
ContractReport check_one(const std::string& word, const ParsedOptions& options, double seconds) {
  const std::string variant = parse_expression(word).name;
  Catalogue::instance().find(variant);
  std::vector<std::string> arguments = {"check", word};
  for (const char* name : {"clause", "plugin"}) {
    for (const std::string& value : values_of(options, name)) {
      arguments.push_back(std::string("--") + name);
      arguments.push_back(value);
    }
  }
  ChildProcess child(arguments);
  const double end = steady_seconds() + seconds;
  Json last = Json::object();
  for (std::string line;;) {
    switch (child.receive(line, end - steady_seconds())) {
      case ChildProcess::Reply::line:
        break;
      case ChildProcess::Reply::too_late:
        return report_of_end(variant, last,
                             fmt::format("had not returned when the limit of {} s "
                                         "for all clauses was over",
                                         seconds));
      case ChildProcess::Reply::ended:
      case ChildProcess::Reply::too_large:
      case ChildProcess::Reply::interrupted:
        return report_of_end(variant, last, ending_text(child));
    }
    Json message = Json::parse(line, nullptr, false);
    if (!message.is_object()) return report_of_end(variant, last, "wrote to the program's channel");
    if (message.contains("error")) throw Error(message["error"].get<std::string>());
    if (message.contains("clauses")) return report_from_json(message);
    last = std::move(message);
  }
}

int run_check(const ParsedOptions& options) {
  if (options.has("channel")) return check_over_channel(options);
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  const double seconds = options.has("time-limit")
                             ? to_real("time-limit", options.require("time-limit"), 0.1, 1e6)
                             : kDefaultSeconds;
  std::vector<std::string> words = options.positional;
  if (words.empty()) words = Catalogue::instance().names();
  bool kept = true;
  Json all = Json::array();
  for (const std::string& word : words) {
    const ContractReport report = check_one(word, options, seconds);
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
  return {
      .name = "check",
      .synopsis = "[VARIANT...] [--clause NAME] [--time-limit SECONDS] [--format json]",
      .summary = "holds variants against the contract (all of them by default)",
      .details = clause_list(),
      .options = {{"clause", "NAME", "only this clause; repeats"},
                  {"time-limit", "SECONDS",
                   fmt::format("for all clauses of one variant; {} by default", kDefaultSeconds)},
                  channel_option(),
                  format_option("text or json"),
                  plugin_option()},
      .max_words = 1000,
      .run = run_check,
      .order = 3};
});

}  // namespace
}  // namespace subquad
