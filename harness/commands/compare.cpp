#include <fmt/format.h>

#include <filesystem>

#include "commands/command.h"
#include "commands/stored_run.h"
#include "comparing/builds.h"
#include "comparing/runs.h"
#include "layers/catalogue.h"
#include "report/figures.h"
#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

constexpr double kSmallestEffect = 0.03;
constexpr int kMostRounds = 1000;

/// Options that only a comparison of builds has, beside those of an experiment.
constexpr const char *kPluginA = "plugin-a", *kPluginB = "plugin-b";

double smallest_effect_of(const ParsedOptions& options) {
  if (!options.has("smallest-effect")) return kSmallestEffect;
  return to_real("smallest-effect", options.require("smallest-effect"), 0, 1);
}

std::string experiment_of(const ParsedOptions& options) {
  if (options.positional.size() > 2) return options.positional[2];
  // Own variants or lengths may stand on the command line, but something must say the rest.
  return (fs::path(plots_folder()).parent_path() / "experiments/regression.cfg").string();
}

int rounds_of(const ParsedOptions& options, const Experiment& experiment) {
  // A config's rounds are those of a run.
  if (!options.has("rounds")) return std::max(kUsualRounds, experiment.rounds);
  const OptionValue value = options.require("rounds");
  return static_cast<int>(to_integer("rounds", value, kLeastRounds, kMostRounds));
}

void add_plugins(const ParsedOptions& options, const char* option, Build& build) {
  const auto given = options.values.find(option);
  if (given == options.values.end()) return;
  for (const OptionValue& value : given->second) build.plugins.push_back(value.text);
}

SideBySide compare_programs(const ParsedOptions& options) {
  const std::vector<std::string>& words = options.positional;
  if (words.size() < 2 || words.size() > 3) {
    throw Error("compare: usage: subquad compare --builds A B [EXPERIMENT.cfg] [options]");
  }
  if (options.has("with")) throw Error("compare: --with is for stored runs, not for --builds");
  std::array<Build, 2> builds = {find_build(words[0]), find_build(words[1])};
  add_plugins(options, kPluginA, builds[0]);
  add_plugins(options, kPluginB, builds[1]);
  // Names in the experiment must be known here too; B's plugins have the same ones.
  for (const std::string& plugin : builds[0].plugins) Catalogue::instance().load_plugin(plugin);
  const Experiment experiment = load_experiment(experiment_of(options), options);
  const int rounds = rounds_of(options, experiment);
  const auto progress = make_progress();
  return compare_builds(experiment, builds, rounds, smallest_effect_of(options), *progress);
}

StoredRun stored_run(const std::string& word) {
  StoredRun run{.name = word, .built = {}, .records = read_run(word).records};
  if (run.records.empty()) throw Error(word + ": holds no record");
  fs::path folder = find_run(word);
  if (!fs::is_directory(folder)) folder = folder.parent_path();
  run.built = built_text(folder.string(), run.records.back().machine);
  return run;
}

SideBySide compare_stored(const ParsedOptions& options) {
  for (const auto& [name, values] : options.values) {
    if (name != "with" && name != "format" && name != "smallest-effect" && name != "plugin") {
      throw Error("compare: --" + name + " is for --builds, not for stored runs");
    }
  }
  std::vector<std::string> words_a = options.positional, words_b;
  if (options.has("with")) {
    for (const OptionValue& value : split_values(options.values.at("with"), false)) {
      words_b.push_back(value.text);
    }
  } else if (words_a.size() == 2) {
    words_b = {words_a.back()};
    words_a.pop_back();
  }
  if (words_a.empty() || words_b.empty()) {
    throw Error(
        "compare: usage: subquad compare RUN RUN, or subquad compare RUN... --with 'RUN...', or "
        "subquad compare --builds A B");
  }
  std::vector<StoredRun> a, b;
  for (const std::string& word : words_a) a.push_back(stored_run(word));
  for (const std::string& word : words_b) b.push_back(stored_run(word));
  SideBySide comparison = compare_runs(a, b, smallest_effect_of(options));
  if (comparison.points.empty()) {
    throw Error(fmt::format("compare: the runs have no point in common: {}",
                            fmt::join(comparison.notices, " ")));
  }
  return comparison;
}

int run_compare(const ParsedOptions& options) {
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  const SideBySide comparison =
      options.has("builds") ? compare_programs(options) : compare_stored(options);
  if (comparison.interrupted && comparison.looks == 0) {
    fmt::print(stderr, "Interrupted: nothing can be said of rounds that are not whole.\n");
    return kExitInterrupted;
  }
  fmt::print("{}", json ? comparison_json(comparison) : comparison_text(comparison));
  if (comparison.interrupted) return kExitInterrupted;
  return comparison.regressions() > 0 ? kExitSomePointsFailed : kExitDone;
}

std::vector<OptionSpec> compare_options() {
  std::vector<OptionSpec> specs = {
      {"builds", "", "compare two programs, not two runs"},
      {"with", "RUN...", "the runs of side B; repeats"},
      {"smallest-effect", "X", "difference of times that matters (0.03)"},
      {kPluginA, "FILE", "with --builds: library of variants for A alone; repeats"},
      {kPluginB, "FILE", "with --builds: library of variants for B alone; repeats"},
      format_option("text or json")};
  const std::vector<OptionSpec> experiment = experiment_option_specs();
  specs.insert(specs.end(), experiment.begin(), experiment.end());
  return specs;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "compare",
          .synopsis = "--builds A B [EXPERIMENT.cfg] [options] | RUN RUN | RUN... --with 'RUN...'",
          .summary = "tells regressions from noise: two builds, or stored runs",
          .details =
              "With --builds, A and B are two subquad programs, or folders that hold\n"
              "build/release/subquad. They take turns over the points of the experiment\n"
              "(experiments/regression.cfg, every variant, unless told), in at least 10 rounds\n"
              "(--rounds, 12), and in up to sixteen times as many where these do not settle a\n"
              "difference. Of stored runs, times over the anchor's are compared; three runs of\n"
              "each side make a test, fewer a bracket. Errors and memory are compared exactly.\n"
              "Exit codes: 0 no regression, 1 some, 2 usage.",
          .options = compare_options(),
          .max_words = 1000,
          .run = run_compare,
          .order = 9};
});

}  // namespace
}  // namespace subquad
