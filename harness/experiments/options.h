#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/experiment.h"

namespace subquad {

/// A value as it was written, and where: "experiments/quickstart.cfg:7" or "command line".
struct OptionValue {
  std::string text;
  std::string where;
};

/// One option of a command, without its leading dashes.
struct OptionSpec {
  std::string name;
  std::string argument;  ///< what help prints for the value; empty for a switch
  std::string doc;
  bool repeats = false;  ///< takes a list; otherwise a config gives it once
};

/// What a command line said.
struct ParsedOptions {
  std::map<std::string, std::vector<OptionValue>> values;
  std::vector<std::string> positional;

  bool has(const std::string& name) const { return values.count(name) > 0; }
  /// The last value given, or `otherwise`.
  std::string get(const std::string& name, const std::string& otherwise = {}) const;
  /// The last value given; Error if there is none.
  OptionValue require(const std::string& name) const;
  /// The last value given, a whole number within [low, high], or `otherwise`.
  Index integer(const std::string& name, Index otherwise, Index low, Index high) const;
};

/// Parses the arguments of a command. Unknown options (with the nearest known one), abbreviations
/// and missing values throw Error.
ParsedOptions parse_options(const std::vector<std::string>& arguments,
                            const std::vector<OptionSpec>& specs);

/// The options as help text, one per line, wrapped.
std::string options_help(const std::vector<OptionSpec>& specs);

/// One option of an experiment: how command line and config files set it and how it prints. The
/// table of these is the only list of them.
struct ExperimentOption {
  OptionSpec spec;
  /// Replaces what the experiment holds by all values given for the option, in order.
  std::function<void(Experiment&, const std::vector<OptionValue>&)> set;
  /// The values as they would be written, one per line of a config file.
  std::function<std::vector<std::string>(const Experiment&)> get;
};
const std::vector<ExperimentOption>& experiment_options();
std::vector<OptionSpec> experiment_option_specs();

/// Options that a config file gives, by name, in the file's order.
using Settings = std::map<std::string, std::vector<OptionValue>>;

/// Parses the text of a config file: `key = value` lines of plain text (UTF-8; CRLF and a byte
/// order mark are let pass), at most kMaxConfigBytes; an option that takes a list may repeat; `#`
/// at the start of a line or after a blank begins a comment. Mistakes throw Error naming `name`,
/// the file, and line.
Settings parse_config(std::string_view text, const std::string& name);
inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

/// Reads and parses a config file.
Settings read_config(const std::string& path);

/// Sets what `settings` give. Mistakes throw Error naming place, option, value and what is allowed.
void apply_settings(Experiment& experiment, const Settings& settings);

/// The experiment that a config file (none if `path` is empty) and the command line give; an option
/// on the command line replaces the config's. Loads its plugins, and checks that every variant and
/// input can be named.
Experiment load_experiment(const std::string& path, const ParsedOptions& command_line);

/// Values that options share. Errors name option, value, place and what is allowed.
Index to_integer(const std::string& option, const OptionValue& value, Index low, Index high);
double to_real(const std::string& option, const OptionValue& value, double low, double high);
bool to_switch(const std::string& option, const OptionValue& value);
/// A number of bytes, as 4096, 64MiB or 1.5GiB.
std::uint64_t to_bytes(const std::string& option, const OptionValue& value);
/// Splits lists at blanks outside parentheses, and at commas there if asked to.
std::vector<OptionValue> split_values(const std::vector<OptionValue>& values, bool at_commas);

}  // namespace subquad
