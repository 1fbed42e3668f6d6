#include <fmt/format.h>

#include <optional>

#include "commands/command.h"
#include "inputs/input.h"
#include "measuring/errors.h"
#include "measuring/fitting.h"
#include "measuring/metrics.h"
#include "measuring/pass.h"
#include "measuring/statistics.h"
#include "subquad/error.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

Problem problem_of(const LayerInput& input, const ParsedOptions& options) {
  Problem problem{.queries = input.queries,
                  .keys = input.keys,
                  .dim = input.dim,
                  .value_dim = input.value_dim,
                  .causal = options.has("causal")};
  if (problem.causal) problem.first_query = std::max<Index>(0, input.keys - input.queries);
  if (options.has("scale")) problem.scale = to_real("scale", options.require("scale"), -1e6, 1e6);
  return problem;
}

/// Of each head the median over windows of the headline error against dense.
std::vector<double> errors_of(const Layer& layer, const LayerInput& input,
                              const DrawnTensors& tensors) {
  const Problem& problem = layer.head_problem();
  LayerOutput output;
  run_once(layer, input, tensors, 0, 1, output);
  const Reference dense =
      *reference_of(parse_expression("dense"), input, problem, problem.queries);
  const std::vector<double> all =
      errors_against(dense, output, input, problem, false).figures.at(std::string(kHeadlineMetric));
  std::vector<double> medians;
  for (Index head = 0; head < input.heads; ++head) {
    std::vector<double> of_head;
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      of_head.push_back(all[static_cast<std::size_t>(sequence * input.heads + head)]);
    }
    medians.push_back(median(std::move(of_head)));
  }
  return medians;
}

struct Column {
  std::string title;
  std::vector<double> errors;  ///< of each head
};

void print_table(const std::vector<Column>& columns) {
  fmt::print("{:>6}", "head");
  for (const Column& column : columns) fmt::print("  {:>18}", column.title);
  fmt::print("\n");
  for (std::size_t head = 0; head < columns.front().errors.size(); ++head) {
    fmt::print("{:>6}", head);
    for (const Column& column : columns) fmt::print("  {:>18.4g}", column.errors[head]);
    fmt::print("\n");
  }
}

void print_fitted_tensors(const Layer& layer) {
  for (Index call = 0; call < std::min(layer.distinct(), layer.calls()); ++call) {
    for (const TensorInfo& tensor : tensor_infos(layer.variant(call), layer.problem())) {
      if (tensor.fitting.way == Fitting::Way::none) continue;
      fmt::print("{} of {}, {}: {}\n", tensor.name, layer.variant_name(call),
                 to_string(tensor.fitting.way), tensor.fitting.how);
    }
  }
}

int run_fit(const ParsedOptions& options) {
  const Expression expression = parse_expression(options.positional.front());
  const std::string path = options.require("input").text;
  const std::string saved_path = options.require("save-tensors").text;
  const LayerInput windows = read_layer_input(path);
  if (TensorSource::of(expression).from != TensorSource::From::initialisers) {
    throw Error(expression.text() + ": fit takes the layer itself, " + family_of(expression));
  }
  const TensorSource source{TensorSource::From::windows, expression, {}};
  const Layer layer(source.around(expression), problem_of(windows, options), windows.heads);
  const std::string reason = layer.refuses();
  if (!reason.empty()) throw Error(expression.text() + " refuses " + path + ": " + reason);
  const auto seed = static_cast<std::uint64_t>(
      options.has("seed") ? to_integer("seed", options.require("seed"), 0, Index{1} << 62) : 0);

  std::optional<LayerInput> held_out;
  if (options.has("test")) held_out = read_layer_input(options.require("test").text);
  DrawnTensors tensors(layer, seed);
  std::vector<Column> columns = {{"drawn", errors_of(layer, windows, tensors)}};
  if (held_out) columns.push_back({"drawn, held out", errors_of(layer, *held_out, tensors)});
  fit_tensors(layer, windows, tensors);
  columns.push_back({"fitted", errors_of(layer, windows, tensors)});
  if (held_out) columns.push_back({"fitted, held out", errors_of(layer, *held_out, tensors)});

  TensorFile saved = tensors.save();
  saved.metadata = {{"variant", layer.resolved_layer().text()},
                    {"seed", std::to_string(seed)},
                    {"fitted_on", path}};
  write_safetensors(saved_path, saved);
  print_fitted_tensors(layer);
  fmt::print("\nRelative error against dense, median over windows ({} to fit on{}):\n",
             windows.batch, held_out ? fmt::format(", {} held out", held_out->batch) : "");
  print_table(columns);
  fmt::print("\nWrote {} tensors to {}\n", saved.tensors.size(), saved_path);
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "fit",
      .synopsis = "EXPRESSION --input FILE --save-tensors FILE [options]",
      .summary = "fits a layer's tensors on sample windows",
      .details =
          "Each sequence of the input is a window; each head is fitted on its own head of all\n"
          "windows, towards plain dense attention. `subquad describe` says which tensors of a\n"
          "variant are fitted, and how. What is saved goes back in by `apply --tensors` or, in an\n"
          "experiment, loaded(EXPRESSION,path=FILE); fitted(EXPRESSION,batch=0:8) fits there and\n"
          "then.",
      .options = {{"input", "FILE", "windows: tensors q, k, v (and x)"},
                  {"save-tensors", "FILE", "where the tensors go (.safetensors)"},
                  {"test", "FILE", "windows that are not fitted on, to tell the error on"},
                  {"causal", "", "a query sees only itself and what is before it"},
                  {"scale", "X", "factor of the scores (default 1 / sqrt(dim))"},
                  {"seed", "N", "seed of drawn tensors (default 0)"},
                  plugin_option()},
      .min_words = 1,
      .max_words = 1,
      .run = run_fit,
      .order = 6};
});

}  // namespace
}  // namespace subquad
