#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "commands/command.h"
#include "commands/gallery.h"
#include "commands/stored_run.h"
#include "records/store.h"
#include "report/page.h"
#include "report/report.h"
#include "subquad/error.h"
#include "texts/strict_json.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

/// A machine.json is small.
constexpr JsonLimits kMachineLimits = {.depth = 16, .values = 10'000, .elements = 1'000};

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

/// Empty for a file that cannot be read, or that no run writes at such a size.
std::string small_text(const fs::path& path) {
  constexpr std::uintmax_t kMostBytes = 1 << 20;
  std::error_code missing;
  const std::uintmax_t bytes = fs::file_size(path, missing);
  if (missing || bytes > kMostBytes) return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// What lies beside the records of a run.
void add_run(const std::string& word, const std::string& points, PageContents& contents) {
  const fs::path folder = fs::path(points).parent_path();
  contents.runs.push_back({word, small_text(folder / "experiment.cfg")});
  std::vector<fs::path> machines;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("machine") && name.ends_with(".json")) machines.push_back(entry.path());
  }
  std::sort(machines.begin(), machines.end());
  for (const fs::path& path : machines) {
    try {
      contents.machines.push_back(
          parse_strict_json(small_text(path), kMachineLimits, path.string()));
    } catch (const Error& error) {
      fmt::print(stderr, "subquad: left out {}\n", error.what());
    }
  }
}

std::vector<Record> read_runs(const std::vector<std::string>& words, PageContents& contents) {
  std::vector<Record> records;
  for (const std::string& word : words) {
    const StoredRecords stored = read_run(word);
    records.insert(records.end(), stored.records.begin(), stored.records.end());
    add_run(word, stored.path, contents);
  }
  return records;
}

/// The page to fill, for a name that can be written. Before anything is read.
std::string_view page_to_fill(const ParsedOptions& options) {
  const std::string& path = options.require("html").text;
  if (options.has("format")) {
    throw Error("command line: --html writes a page; --format is for what is printed");
  }
  if (options.has("details")) {
    throw Error("command line: --html writes a page that has all details; leave out --details");
  }
  const fs::path folder = fs::path(path).parent_path();
  if (path.empty() || fs::is_directory(path)) {
    throw Error(fmt::format("--html = {}: this is no name of a file", path));
  }
  if (!folder.empty() && !fs::is_directory(folder)) {
    throw Error(fmt::format("--html = {}: there is no folder {}", path, folder.string()));
  }
  const std::optional<std::string_view> page = page_template();
  if (!page) {
    throw Error(
        "--html: this build has no report page; build with -DSUBQUAD_PAGE=ON, which needs node "
        "and npm");
  }
  return *page;
}

void write_page(std::string_view page, const std::vector<Record>& records,
                const ReportOptions& chosen, PageContents contents, const std::string& path) {
  const Summary summary = summarise(records, chosen);
  contents.patterns = pattern_gallery(summary);
  write_file_atomically(path, render_page(page, summary, contents));
  fmt::print("{}: written\n", path);
}

int run_report(const ParsedOptions& options) {
  const ReportOptions chosen = report_options_of(options);
  const bool as_page = options.has("html");
  const std::string_view page = as_page ? page_to_fill(options) : std::string_view();
  PageContents contents;
  const std::vector<Record> records = read_runs(options.positional, contents);
  if (as_page) {
    write_page(page, records, chosen, std::move(contents), options.require("html").text);
  } else {
    fmt::print("{}", report(records, chosen));
  }
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "report",
      .synopsis =
          "RUN... [--format text|markdown|csv|json|latex | --html FILE] [--max-error E] "
          "[--memory M]",
      .summary = "tables of what runs recorded",
      .details =
          "RUN is a folder that holds points.jsonl, or its name below results/. With a budget,\n"
          "--max-error or --memory or both, it ranks what meets the budget by time instead, "
          "and\nsays why the rest does not. --html writes one page for a browser instead, which "
          "needs no "
          "network.",
      .options = {format_option("text, markdown, csv, json or latex"),
                  {"html", "FILE", "writes a page with tables, charts and raw figures instead"},
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
