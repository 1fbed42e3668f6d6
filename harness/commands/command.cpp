#include "commands/command.h"

#include <fmt/format.h>

#include <algorithm>

#include "commands/plugin_trial.h"
#include "expressions/settings.h"
#include "layers/catalogue.h"
#include "measuring/process.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using Factories = std::vector<Command (*)()>;

Factories& factories() {
  static Factories all;
  return all;
}

const Command* find_command(const std::string& name) {
  for (const Command& command : commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

[[noreturn]] void unknown_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (!command.internal) names.push_back(command.name);
  }
  throw Error("unknown command '" + name + "'" + suggestion(name, names));
}

void print_overview() {
  fmt::print(
      "subquad compares efficient attention variants honestly: time, memory, and error against\n"
      "exact attention, on your machine and your Q, K, V.\n\nCommands:\n");
  for (const Command& command : commands()) {
    if (!command.internal) fmt::print("  {:<10} {}\n", command.name, command.summary);
  }
  fmt::print(
      "\nThe launcher ./subquad also knows: test (build and run all tests), format, and peers "
      "(install\n"
      "and build what dense is compared with).\n"
      "subquad help COMMAND tells more. Exit codes: 0 done, 1 some points did not end well, "
      "2 usage.\n");
}

void print_help(const Command& command) {
  fmt::print("subquad {} {}\n\n{}\n", command.name, command.synopsis, command.summary);
  if (!command.details.empty()) fmt::print("\n{}\n", command.details);
  if (!command.options.empty()) fmt::print("\nOptions:\n{}", options_help(command.options));
}

int help(const std::vector<std::string>& words) {
  if (words.empty()) {
    print_overview();
    return kExitDone;
  }
  const Command* command = find_command(words.front());
  if (command == nullptr) unknown_command(words.front());
  print_help(*command);
  return kExitDone;
}

void check_words(const Command& command, const ParsedOptions& options) {
  const std::size_t count = options.positional.size();
  if (count >= command.min_words && count <= command.max_words) return;
  if (count > command.max_words) {
    throw Error(fmt::format("{}: unexpected word '{}'; usage: subquad {} {}", command.name,
                            options.positional[command.max_words], command.name, command.synopsis));
  }
  throw Error(fmt::format("{}: something is missing; usage: subquad {} {}", command.name,
                          command.name, command.synopsis));
}

}  // namespace

std::vector<Command>& commands() {
  static std::vector<Command> all = [] {
    std::vector<Command> made;
    for (const auto make : factories()) made.push_back(make());
    std::sort(made.begin(), made.end(),
              [](const Command& a, const Command& b) { return a.order < b.order; });
    return made;
  }();
  return all;
}

CommandRegistrar::CommandRegistrar(Command (*make)()) { factories().push_back(make); }

OptionSpec format_option(const std::string& formats) { return {"format", "FORMAT", formats}; }

OptionSpec plugin_option() {
  return {"plugin", "FILE", "shared library of further variants; repeats"};
}

OptionSpec channel_option() {
  return {"channel", "FD", "answer the program that passes this, instead of printing"};
}

int channel_of(const ParsedOptions& options) {
  return static_cast<int>(to_integer("channel", options.require("channel"), 3, 1023));
}

std::string chosen_format(const ParsedOptions& options, const std::vector<std::string>& allowed) {
  const std::string format = options.get("format", allowed.front());
  if (std::find(allowed.begin(), allowed.end(), format) == allowed.end()) {
    throw Error(fmt::format("command line: format = {} is not one of {}", format,
                            fmt::join(allowed, ", ")));
  }
  return format;
}

void load_plugins(const ParsedOptions& options) {
  Catalogue::instance().load_plugin_path();
  const auto given = options.values.find("plugin");
  if (given == options.values.end()) return;
  for (const OptionValue& plugin : given->second) Catalogue::instance().load_plugin(plugin.text);
}

int run_command_line(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    print_overview();
    return kExitUsage;
  }
  const std::string& name = arguments.front();
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (name == "help" || name == "--help" || name == "-h") return help(rest);
  const Command* command = find_command(name);
  if (command == nullptr) unknown_command(name);
  if (std::find(rest.begin(), rest.end(), "--help") != rest.end()) return help({name});
  const ParsedOptions options = parse_options(rest, command->options);
  check_words(*command, options);
  if (command->internal) return command->run(options);
  if (options.has("channel")) {
    // Its parent has tried the plugins; and it may be killed while this process loads them.
    const Channel dies_with_parent(channel_of(options));
    load_plugins(options);
    return command->run(options);
  }
  Catalogue::instance().before_loading(try_plugin);
  load_plugins(options);
  return command->run(options);
}

}  // namespace subquad
