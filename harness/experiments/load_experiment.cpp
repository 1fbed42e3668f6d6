#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "experiments/options.h"
#include "experiments/points.h"
#include "inputs/input.h"
#include "layers/catalogue.h"
#include "layers/tensor_source.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Names in expressions must exist before hours are spent on the points before them. A peer that
/// was not built costs its own points only, which say so.
void check_names(const Expression& expression) {
  TensorSource::of(expression);  // throws for what cannot stand around a layer
  if (!is_layer_word(expression.name)) {
    try {
      Catalogue::instance().find(expression.name);
    } catch (const NotBuilt&) {
    }
    return;
  }
  for (const Expression::Argument& argument : expression.arguments) {
    for (const Expression& nested : argument.nested) check_names(nested);
  }
}

void check_input_name(const Expression& input) {
  std::vector<std::string> names;
  for (const InputInfo& info : input_infos()) names.push_back(info.name);
  if (std::find(names.begin(), names.end(), input.name) == names.end()) {
    throw Error("unknown input '" + input.name + "'" + suggestion(input.name, names));
  }
}

/// Groups and their points are held in memory, and no machine measures a million of them.
void check_points(const Experiment& experiment, const std::string& place) {
  constexpr double kMaxPoints = 1e6;
  double points = 1;
  for (const std::size_t count :
       {experiment.variants.size(), experiment.inputs.size(), experiment.lengths.size(),
        experiment.modes.size(), experiment.feed_forward_chunks.size(), experiment.causal.size(),
        experiment.threads.size(), experiment.seeds.size()}) {
    points *= static_cast<double>(count);
  }
  if (points > kMaxPoints) {
    throw Error(fmt::format("{}: spans {} points (at most {})", place, points, kMaxPoints));
  }
}

}  // namespace

Experiment load_experiment(const std::string& path, const ParsedOptions& command_line) {
  Experiment experiment;
  experiment.name = path.empty() ? "adhoc" : std::filesystem::path(path).stem().string();
  experiment.anchor = parse_expression("dense");
  Settings settings;
  if (!path.empty()) settings = read_config(path);
  for (const ExperimentOption& option : experiment_options()) {
    const auto given = command_line.values.find(option.spec.name);
    if (given != command_line.values.end()) settings[given->first] = given->second;
  }
  apply_settings(experiment, settings);

  const std::string place = path.empty() ? "command line" : path;
  if (experiment.variants.empty()) throw Error(place + ": no variant is given");
  if (experiment.inputs.empty()) experiment.inputs = {parse_expression("gaussian")};
  if (experiment.lengths.empty()) throw Error(place + ": no length is given");
  for (const std::string& plugin : experiment.plugins) Catalogue::instance().load_plugin(plugin);
  try {
    check_names(experiment.anchor);
    for (const Expression& variant : experiment.variants) check_names(variant);
    for (const Expression& input : experiment.inputs) check_input_name(input);
    check_modes(experiment);
  } catch (const Error& error) {
    throw Error(place + ": " + error.what());
  }
  check_points(experiment, place);
  return experiment;
}

}  // namespace subquad
