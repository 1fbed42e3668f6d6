#pragma once

#include <string>
#include <vector>

#include "experiments/options.h"

namespace subquad {

/// What a process returns, beside 128 + signal.
enum ExitCode { kExitDone = 0, kExitSomePointsFailed = 1, kExitUsage = 2, kExitInterrupted = 130 };

/// A command of the program. Each lives in a file of its own under commands/ and registers itself
/// there, so that the table behind `subquad help` is the only list of them.
struct Command {
  std::string name;
  std::string synopsis;  ///< after the name: "EXPERIMENT.cfg [options]"
  std::string summary;   ///< one line
  std::string details;   ///< paragraphs for `subquad help NAME`, or empty
  std::vector<OptionSpec> options;
  std::size_t min_words = 0, max_words = 0;  ///< words beside options
  int (*run)(const ParsedOptions& options) = nullptr;
  int order = 0;  ///< where help lists it
  /// For a process that the program starts itself: not in help, and loads no plugins beforehand.
  bool internal = false;
};

/// Every command, in the order of help.
std::vector<Command>& commands();

class CommandRegistrar {
 public:
  explicit CommandRegistrar(Command (*make)());
};

/// Options that several commands have.
OptionSpec format_option(const std::string& formats);
OptionSpec plugin_option();
/// Of a command that the program also starts itself, to answer over a channel (process.h).
OptionSpec channel_option();
/// Its value; Error if it is not given or no number of a file.
int channel_of(const ParsedOptions& options);
/// The value of --format; Error unless it is one of `allowed`, of which the first is the default.
std::string chosen_format(const ParsedOptions& options, const std::vector<std::string>& allowed);
/// Loads what SUBQUAD_PLUGIN_PATH and --plugin name.
void load_plugins(const ParsedOptions& options);

/// Runs the program: the only place that prints errors is `main`.
int run_command_line(const std::vector<std::string>& arguments);

}  // namespace subquad
