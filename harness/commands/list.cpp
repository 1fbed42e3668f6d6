#include <fmt/format.h>

#include <algorithm>

#include "commands/command.h"
#include "commands/variant_json.h"
#include "inputs/input.h"
#include "layers/catalogue.h"
#include "subquad/error.h"

namespace subquad {
namespace {

void list_variants(bool json) {
  Catalogue::instance().load_peers();
  const auto& entries = Catalogue::instance().entries();
  if (json) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const CatalogueEntry& entry : entries) all.push_back(variant_to_json(entry));
    fmt::print("{}\n", all.dump(2));
    return;
  }
  std::size_t name_width = 0, time_width = 0;
  for (const CatalogueEntry& entry : entries) {
    name_width = std::max(name_width, entry.info().name.size());
    time_width = std::max(time_width, entry.info().time.size());
  }
  for (const CatalogueEntry& entry : entries) {
    const Info& info = entry.info();
    fmt::print("{:<{}}  {:<{}}  {}{}\n", info.name, name_width, info.time, time_width, info.summary,
               entry.origin == "built-in" ? "" : " [" + entry.origin + "]");
  }
  for (const auto& [name, why] : Catalogue::instance().missing_peers()) {
    fmt::print("{:<{}}  {}\n", name, name_width, why);
  }
}

void list_inputs(bool json) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const InputInfo& input : input_infos()) {
    if (json) {
      all.push_back({{"name", input.name},
                     {"summary", input.summary},
                     {"parameters", parameters_to_json(input.parameters)}});
      continue;
    }
    fmt::print("{:<10} {}\n", input.name, input.summary);
    for (const ParameterInfo& parameter : input.parameters) {
      fmt::print("           {} = {} ({}): {}\n", parameter.name, parameter.default_value,
                 range_text(parameter), parameter.doc);
    }
  }
  if (json) fmt::print("{}\n", all.dump(2));
}

int run_list(const ParsedOptions& options) {
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  const std::string what = options.positional.empty() ? "variants" : options.positional.front();
  if (what == "variants") {
    list_variants(json);
  } else if (what == "inputs") {
    list_inputs(json);
  } else {
    throw Error("list: '" + what + "' is not one of variants, inputs");
  }
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "list",
          .synopsis = "[variants | inputs] [--format json]",
          .summary = "what can be named in an experiment",
          .options = {format_option("text or json"), plugin_option()},
          .max_words = 1,
          .run = run_list,
          .order = 1};
});

}  // namespace
}  // namespace subquad
