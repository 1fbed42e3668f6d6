#include "measuring/measure.h"

#include <fmt/format.h>

#include "commands/command.h"
#include "experiments/points.h"
#include "running/run.h"

namespace subquad {
namespace {

int run_measure(const ParsedOptions& options) {
  const Experiment single = load_experiment("", options);
  require_single(single);
  if (options.has("channel")) return serve_point(single, channel_of(options));
  const auto progress = make_silent_progress();
  const Record record = measure_point(single, *progress);
  fmt::print("{}\n", to_json(record).dump(2));
  return record.status == Status::ok || record.status == Status::refused ? kExitDone
                                                                         : kExitSomePointsFailed;
}

std::vector<OptionSpec> measure_options() {
  std::vector<OptionSpec> specs = experiment_option_specs();
  specs.push_back(channel_option());
  return specs;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "measure",
          .synopsis = "--variant EXPRESSION --length N [options]",
          .summary = "measures one point and prints its record",
          .details =
              "What a record's `command` repeats. The point and its anchor are measured as\n"
              "in a run, each in a process of its own; nothing is stored.",
          .options = measure_options(),
          .run = run_measure,
          .order = 8};
});

}  // namespace
}  // namespace subquad
