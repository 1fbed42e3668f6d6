#include "running/run.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "commands/command.h"
#include "report/figures.h"
#include "report/report.h"

namespace subquad {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Nothing was measured and figures are there: they show these records already.
bool figures_are_current(const RunSummary& summary) {
  return summary.measured == 0 && std::filesystem::exists(summary.folder + "/figures");
}

void print_outcome(const RunSummary& summary, Clock::time_point start) {
  if (summary.interrupted) {
    fmt::print("Interrupted: {} of {} points are there; the same command goes on from here.\n",
               summary.there + summary.measured, summary.points);
  } else if (summary.measured == 0) {
    fmt::print("Everything is there: all {} points were measured before; records in {}.\n",
               summary.points, summary.folder);
  } else {
    const double seconds = seconds_since(start);
    fmt::print(
        "Measured {} points in {}{}; records in {}.\n", summary.measured, duration_text(seconds),
        summary.there > 0 ? fmt::format(" ({} were there)", summary.there) : "", summary.folder);
    // Two points are checked at a time: where nothing is timed, passes may add up to more.
    if (summary.forward_s > seconds) return;
    fmt::print(
        "Forward passes took {:.1f} of {:.1f} s; {:.0f} % went into everything around them.\n",
        summary.forward_s, seconds, 100 * (1 - summary.forward_s / seconds));
  }
}

int run_run(const ParsedOptions& options) {
  const Clock::time_point start = Clock::now();
  const Experiment experiment = load_experiment(options.positional.front(), options);
  const auto progress = make_progress();
  const RunSummary summary = run_experiment(experiment, *progress);
  if (!experiment.question.empty()) fmt::print("{}\n\n", experiment.question);
  fmt::print("{}\n", report(summary.records));
  print_outcome(summary, start);
  if (summary.interrupted) return kExitInterrupted;
  if (experiment.figures && !figures_are_current(summary)) {
    const std::optional<std::string> message = draw_figures(summary.folder, plots_folder());
    fmt::print("{}\n",
               message ? "No figures: " + *message : "Figures in " + summary.folder + "/figures.");
  }
  return summary.all_well() ? kExitDone : kExitSomePointsFailed;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "run",
      .synopsis = "EXPERIMENT.cfg [options]",
      .summary = "runs an experiment, or goes on with it",
      .details =
          "A config holds the options below, one per line as `key = value`; an option given on "
          "the\n"
          "command line replaces the config's. Points that are recorded already are not measured\n"
          "again. Records go to RESULTS/NAME, NAME being the config's.",
      .options = experiment_option_specs(),
      .min_words = 1,
      .max_words = 1,
      .run = run_run,
      .order = 4};
});

}  // namespace
}  // namespace subquad
