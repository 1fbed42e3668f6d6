#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <list>

#include "commands/command.h"
#include "expressions/settings.h"
#include "records/store.h"
#include "report/summary.h"
#include "reproducing/render.h"
#include "running/run.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kTables = "experiments/papers";
constexpr const char* kAll = "all";
constexpr const char* kList = "list";

std::string folder_of(const ParsedOptions& options) { return options.get("tables", kTables); }

void list_tables(const std::string& folder) {
  for (const std::string& name : table_names(folder)) {
    const PublishedTable table = find_published_table(folder, name);
    fmt::print("{}  (about {:g} min)\n    {}\n    {}, {} (arXiv:{})\n    judged: {}\n", name,
               table.minutes, table.title, table.source.paper, table.source.place,
               table.source.arxiv, table.judged);
  }
}

/// What the command line says counts before what the table says, and that before the config.
Experiment experiment_of(const PublishedRun& run, const PublishedTable& table,
                         const ParsedOptions& options) {
  ParsedOptions settings;
  settings.values = options.values;
  std::vector<std::string> known;
  for (const ExperimentOption& option : experiment_options()) known.push_back(option.spec.name);
  for (const auto& [key, value] : run.settings) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Error(fmt::format("{}: run {} sets an unknown option '{}'{}", table.path, run.name, key,
                              suggestion(key, known)));
    }
    settings.values.emplace(key, std::vector{OptionValue{value, table.path}});
  }
  Experiment experiment = load_experiment(run.config, settings);
  experiment.name = run.name;
  return experiment;
}

/// Records behind a table.
struct Measured {
  std::vector<Record> records;
  bool all_well = true, interrupted = false;
  double seconds = 0;
  std::vector<std::string> notices;
};

Measured measure(const PublishedTable& table, const ParsedOptions& options) {
  const Clock::time_point start = Clock::now();
  Measured measured;
  for (const PublishedRun& run : table.runs) {
    const auto progress = make_progress();
    RunSummary summary = run_experiment(experiment_of(run, table, options), *progress);
    measured.all_well = measured.all_well && summary.all_well();
    measured.interrupted = summary.interrupted;
    std::ranges::move(summary.records, std::back_inserter(measured.records));
    if (summary.interrupted) break;
  }
  measured.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return measured;
}

/// What earlier runs left in `folder`, one folder for each run of the table. Where one table is
/// asked for, a run that is not there is an Error; of all tables it is told, and the rest judged.
Measured recorded(const PublishedTable& table, const std::string& folder, bool one) {
  Measured measured;
  for (const PublishedRun& run : table.runs) {
    const std::string run_folder = folder + "/" + run.name;
    if (!one && std::filesystem::is_directory(folder) && !std::filesystem::exists(run_folder)) {
      measured.notices.push_back(fmt::format(
          "The run {} is not in {}: what it measures is missing here.", run.name, folder));
      continue;
    }
    StoredRecords stored = read_records(run_folder);
    if (const std::string bad = bad_lines_text(stored.path, stored); !bad.empty()) {
      fmt::print(stderr, "subquad: {}\n", bad);
    }
    std::ranges::move(stored.records, std::back_inserter(measured.records));
  }
  return measured;
}

/// Everything that a judged table points into.
struct Reproduced {
  PublishedTable table;
  Measured measured;
  Summary summary;
};

/// Of records that were measured again, the last ones count.
bool ended_well(const Summary& summary) {
  return std::all_of(summary.tables.begin(), summary.tables.end(), [](const Table& table) {
    return std::all_of(table.rows.begin(), table.rows.end(), [](const Row& row) {
      return row.status == Status::ok || row.status == Status::refused;
    });
  });
}

void print(const std::vector<Section>& sections, const std::string& format) {
  fmt::print("{}\n", format == "markdown" ? markdown_of(sections) : text_of(sections));
}

bool is_well(const JudgedTable& judged) {
  const JudgedTable::Counts counts = judged.counts();
  return judged.all_well && counts.formulas_right == counts.formulas;
}

int reproduce(const std::vector<std::string>& names, const ParsedOptions& options) {
  const std::string format = chosen_format(options, {"text", "markdown", "json"});
  const bool one = options.positional.front() != kAll;
  std::list<Reproduced> all;  // judged tables point into them
  for (const std::string& name : names) {
    all.push_back({find_published_table(folder_of(options), name), {}, {}});
  }
  std::vector<JudgedTable> judged;
  for (Reproduced& each : all) {
    each.measured = options.has("recorded") ? recorded(each.table, options.get("recorded"), one)
                                            : measure(each.table, options);
    if (each.measured.interrupted) {
      fmt::print(stderr, "subquad: interrupted; the same command goes on from here\n");
      return kExitInterrupted;
    }
    each.summary = summarise(each.measured.records, {});
    judged.push_back(judge(each.table, each.summary));
    judged.back().seconds = each.measured.seconds;
    std::ranges::copy(each.measured.notices, std::back_inserter(judged.back().notices));
    judged.back().all_well = each.measured.all_well && ended_well(each.summary);
    if (format != "json") print(sections(judged.back()), format);
  }
  if (format == "json") {
    fmt::print("{}\n", (one ? to_json(judged.front()) : summary_to_json(judged)).dump(2));
  } else if (!one) {
    print({summary_section(judged)}, format);
  }
  const bool well = std::all_of(judged.begin(), judged.end(), is_well);
  return well ? kExitDone : kExitSomePointsFailed;
}

int run_reproduce(const ParsedOptions& options) {
  const std::string& word = options.positional.front();
  if (word == kList) {
    list_tables(folder_of(options));
    return kExitDone;
  }
  return reproduce(word == kAll ? table_names(folder_of(options)) : std::vector{word}, options);
}

std::vector<OptionSpec> option_specs() {
  std::vector<OptionSpec> specs = {
      format_option("text, markdown or json"),
      {"tables", "FOLDER", "that holds NAME.published.json and configs (experiments/papers)"},
      {"recorded", "FOLDER", "judge what runs left in FOLDER, and measure nothing"}};
  const std::vector<OptionSpec> experiment = experiment_option_specs();
  specs.insert(specs.end(), experiment.begin(), experiment.end());
  return specs;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "reproduce",
      .synopsis = "list | TABLE | all [options]",
      .summary = "measures for a published table, and judges it cell by cell",
      .details =
          "Runs the experiments of TABLE, as `run` would: points that are recorded already are "
          "not\nmeasured again. Then sets published figures beside measured ones; no cell is held "
          "against\nanother machine's milliseconds, but against the rule that stands below the "
          "table\n(docs/reproduce.md). An option of an experiment, as --length, replaces that of "
          "every config.\nThe exit code is 1 if a point did not end well or a formula does not "
          "give its printed number;\na measured cell that differs is a finding, and no failure.",
      .options = option_specs(),
      .min_words = 1,
      .max_words = 1,
      .run = run_reproduce,
      .order = 8};
});

}  // namespace
}  // namespace subquad
