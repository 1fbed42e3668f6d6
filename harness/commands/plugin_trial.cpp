#include "commands/plugin_trial.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "commands/child_ending.h"
#include "commands/command.h"
#include "layers/catalogue.h"
#include "measuring/process.h"
#include "subquad/error.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

using nlohmann::json;

constexpr const char* kCommand = "try-plugin";
/// Far beyond what a library of variants needs.
constexpr double kSeconds = 10;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error("plugin '" + path + "': " + what);
}

void try_in_process(const std::string& path) {
  ChildProcess child({kCommand, path});
  std::string line;
  switch (child.receive(line, kSeconds)) {
    case ChildProcess::Reply::line:
      break;
    case ChildProcess::Reply::too_late:
      refuse(path, fmt::format("was not loaded within {} s", kSeconds));
    case ChildProcess::Reply::ended:
    case ChildProcess::Reply::too_large:
      refuse(path, ending_text(child, " when loaded"));
    case ChildProcess::Reply::interrupted:
      refuse(path, "interrupted while it was tried");
  }
  const json answer = json::parse(line, nullptr, false);
  if (!answer.is_object()) refuse(path, "wrote nonsense to the program's channel when loaded");
  // The words of the loader, which name the file.
  if (answer.contains("refused")) throw Error(answer["refused"].get<std::string>());
  if (answer.contains("threw")) {
    refuse(path, "threw an exception when loaded: " + answer["threw"].get<std::string>());
  }
  if (child.receive(line, kSeconds) == ChildProcess::Reply::too_late) {
    refuse(path, fmt::format("kept the program from ending for {} s", kSeconds));
  }
  const ChildProcess::Ending ending = child.wait();
  if (ending.signal != 0 || ending.code != kExitDone) {
    refuse(path, ending_text(child, " at the end of the program"));
  }
}

int run_try_plugin(const ParsedOptions& options) {
  Channel channel(channel_of(options));
  json answer = json::object();
  try {
    Catalogue::instance().load_plugin(options.positional.front());
  } catch (const Error& error) {
    answer["refused"] = error.what();
  } catch (const std::exception& error) {
    answer["threw"] = error.what();
  } catch (...) {
    answer["threw"] = "of unknown type";
  }
  channel.send(json_line(answer));
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = kCommand,
          .synopsis = "FILE --channel FD",
          .summary = "loads a shared library to see whether the program survives it",
          .options = {channel_option()},
          .min_words = 1,
          .max_words = 1,
          .run = run_try_plugin,
          .internal = true};
});

}  // namespace

void try_plugin(const std::string& path) {
  static std::set<std::string> tried;
  std::error_code code;
  const std::string file = std::filesystem::canonical(path, code).string();
  if (code) return;  // the loader says so
  if (tried.insert(file).second) try_in_process(path);
}

}  // namespace subquad
