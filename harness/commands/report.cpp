#include "report/report.h"

#include <fmt/format.h>

#include "commands/command.h"
#include "commands/stored_run.h"
#include "subquad/error.h"

namespace subquad {
namespace {

constexpr double kMostError = 1e9;
constexpr Index kMostKeys = Index{1} << 40;

std::optional<Budget> budget_of(const ParsedOptions& options) {
  Budget budget;
  if (options.has("max-error")) {
    budget.max_error = to_real("max-error", options.require("max-error"), 0, kMostError);
  }
  if (options.has("memory")) {
    budget.memory_bytes = static_cast<double>(to_bytes("memory", options.require("memory")));
  }
  if (!budget.max_error && !budget.memory_bytes) return std::nullopt;
  return budget;
}

ReportOptions report_options_of(const ParsedOptions& options) {
  ReportOptions chosen;
  chosen.format = report_format_from_string(
      chosen_format(options, {"text", "markdown", "csv", "json", "latex"}));
  chosen.details = options.has("details");
  chosen.budget = budget_of(options);
  if (chosen.budget && chosen.format == ReportFormat::csv) {
    throw Error(
        "command line: csv holds raw figures and judges none; --max-error and --memory "
        "need another --format");
  }
  if (options.has("causal")) chosen.causal = to_switch("causal", options.require("causal"));
  if (options.has("length")) {
    for (const OptionValue& value : split_values(options.values.at("length"), true)) {
      chosen.lengths.push_back(to_integer("length", value, 1, kMostKeys));
    }
  }
  return chosen;
}

int run_report(const ParsedOptions& options) {
  const ReportOptions chosen = report_options_of(options);
  std::vector<Record> records;
  for (const std::string& word : options.positional) {
    const StoredRecords stored = read_run(word);
    records.insert(records.end(), stored.records.begin(), stored.records.end());
  }
  fmt::print("{}", report(records, chosen));
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "report",
      .synopsis = "RUN... [--format text|markdown|csv|json|latex] [--max-error E] [--memory M]",
      .summary = "tables of what runs recorded",
      .details =
          "RUN is a folder that holds points.jsonl, or its name below results/. With a budget,\n"
          "--max-error or --memory or both, it ranks what meets the budget by time instead, "
          "and\nsays why the rest does not.",
      .options = {format_option("text, markdown, csv, json or latex"),
                  {"max-error", "X", "budget: relative error against dense, median over heads"},
                  {"memory", "BYTES", "budget: scratch and parameters together, as 64MiB"},
                  {"causal", "BOOL", "only causal problems, or only others"},
                  {"length", "N...", "only these numbers of keys"},
                  {"details", "",
                   "also the error of each head, what is made of the machine, and where the spread "
                   "over draws and seeds comes from"},
                  plugin_option()},
      .min_words = 1,
      .max_words = 1000,
      .run = run_report,
      .order = 7};
});

}  // namespace
}  // namespace subquad
