#include "report/report.h"

#include <fmt/format.h>

#include <filesystem>

#include "commands/command.h"
#include "records/store.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// A run's folder, or its name below results/.
std::string find_run(const std::string& word) {
  for (const std::string& path : {word, "results/" + word, "results/recorded/" + word}) {
    if (std::filesystem::exists(path)) return path;
  }
  throw Error(word + ": no such run; name a folder that holds points.jsonl");
}

int run_report(const ParsedOptions& options) {
  ReportOptions report_options;
  report_options.format = report_format_from_string(
      chosen_format(options, {"text", "markdown", "csv", "json", "latex"}));
  std::vector<Record> records;
  for (const std::string& word : options.positional) {
    const std::string path = find_run(word);
    const StoredRecords stored = read_records(path);
    records.insert(records.end(), stored.records.begin(), stored.records.end());
    if (const std::string bad = bad_lines_text(stored.path, stored); !bad.empty()) {
      fmt::print(stderr, "subquad: {}\n", bad);
    }
    if (stored.other_schema > 0) {
      fmt::print(stderr, "subquad: {}: left out {} records of another schema\n", path,
                 stored.other_schema);
    }
  }
  fmt::print("{}", report(records, report_options));
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "report",
          .synopsis = "RUN... [--format text|markdown|csv|json|latex]",
          .summary = "tables of what runs recorded",
          .details = "RUN is a folder that holds points.jsonl, or its name below results/.",
          .options = {format_option("text, markdown, csv, json or latex"), plugin_option()},
          .min_words = 1,
          .max_words = 1000,
          .run = run_report,
          .order = 6};
});

}  // namespace
}  // namespace subquad
