#include "records/machine.h"

#include <fmt/format.h>

#include "commands/command.h"

namespace subquad {
namespace {

int run_machine(const ParsedOptions& options) {
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  Machine machine = describe_machine();
  machine.peak = measure_peak();
  if (json) {
    fmt::print("{}\n", to_json(machine).dump(2));
  } else {
    fmt::print("{}", to_text(machine));
  }
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "machine",
      .synopsis = "[--format json]",
      .summary = "the processor, its measured peak, and how the program was built",
      .details =
          "The peak is measured, of one core and of all that may be used at once: multiply-adds\n"
          "from registers alone, exponentials, and reading of caches and memory. It takes about\n"
          "half a second; each figure is the best of several short windows.",
      .options = {format_option("text or json")},
      .run = run_machine,
      .order = 20};
});

}  // namespace
}  // namespace subquad
