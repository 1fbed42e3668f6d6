#include <fmt/format.h>

#include <optional>

#include "commands/command.h"
#include "commands/input_option.h"
#include "measuring/errors.h"
#include "measuring/fitting.h"
#include "measuring/metrics.h"
#include "measuring/pass.h"
#include "measuring/statistics.h"
#include "subquad/error.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

/// Of each head the median over windows of the headline error against dense.
std::vector<double> errors_of(const Layer& layer, const LayerInput& input,
                              const DrawnTensors& tensors) {
  const Problem& problem = layer.head_problem();
  LayerOutput output;
  run_once(layer, input, tensors, 0, 1, output);
  const Reference dense = *reference_of(parse_expression("dense"), input, problem, problem.queries);
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

std::vector<std::string> names_of(const TensorFile& file) {
  std::vector<std::string> names;
  for (const auto& [name, array] : file.tensors) names.push_back(name + " " + array.shape_text());
  return names;
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
  const std::string saved_path = options.require("save-tensors").text;
  if (TensorSource::of(expression).from != TensorSource::From::initialisers) {
    throw Error(expression.text() + ": fit takes the layer itself, " + family_of(expression));
  }
  const GivenInput windows = read_input_option(options);
  std::optional<GivenInput> held_out;
  if (options.has(kTestInput)) held_out = read_input_option(options, kTestInput);
  const TensorSource source{TensorSource::From::windows, expression, {}};
  const Layer layer(source.around(expression), windows.problem, windows.input.heads);
  const std::string reason = layer.refuses();
  if (!reason.empty())
    throw Error(expression.text() + " refuses " + windows.source + ": " + reason);

  DrawnTensors tensors(layer, windows.seed);
  std::vector<Column> columns;
  const auto add_columns = [&](const std::string& title) {
    columns.push_back({title, errors_of(layer, windows.input, tensors)});
    if (!held_out) return;
    columns.push_back({title + ", held out", errors_of(layer, held_out->input, tensors)});
  };
  add_columns("drawn");
  fit_tensors(layer, windows.input, tensors);
  add_columns("fitted");

  TensorFile saved = tensors.save();
  saved.metadata = {{"variant", layer.resolved_layer().text()},
                    {"seed", std::to_string(windows.seed)},
                    {"fitted_on", windows.source}};
  write_safetensors(saved_path, saved);
  print_fitted_tensors(layer);
  fmt::print("\nRelative error against dense, median over windows ({} to fit on{}):\n",
             windows.input.batch,
             held_out ? fmt::format(", {} held out", held_out->input.batch) : "");
  print_table(columns);
  fmt::print("\nWrote {} to {}\n", fmt::join(names_of(saved), ", "), saved_path);
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
      .options = with_input_options(
          {{kTestInput, "FILE|EXPRESSION", "windows that are not fitted on, to tell the error on"},
           {"save-tensors", "FILE", "where the tensors go (.safetensors)"},
           plugin_option()}),
      .min_words = 1,
      .max_words = 1,
      .run = run_fit,
      .order = 6};
});

}  // namespace
}  // namespace subquad
