#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "commands/command.h"
#include "commands/input_option.h"
#include "commands/picture.h"
#include "layers/executor.h"
#include "measuring/fitting.h"
#include "subquad/error.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

void require_finite(const LayerOutput& output, const std::string& expression) {
  for (std::size_t i = 0; i < output.out.size(); ++i) {
    if (std::isfinite(output.out[i])) continue;
    const Index row = static_cast<Index>(i) / output.value_dim;
    throw std::runtime_error(fmt::format("{}: output is not finite (sequence {}, head {}, row {})",
                                         expression, row / output.queries / output.heads,
                                         row / output.queries % output.heads,
                                         row % output.queries));
  }
}

/// `o` has as many axes as `q` has in the input file.
Array to_array(const LayerOutput::Floats& values, std::vector<Index> shape, std::size_t rank) {
  Array array;
  shape.erase(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(rank));
  array.shape = std::move(shape);
  array.floats.assign(values.begin(), values.end());
  return array;
}

/// Those of --tensors, or from where the expression says that they come.
std::unique_ptr<DrawnTensors> tensors_of(const Layer& layer, const GivenInput& given,
                                         const ParsedOptions& options) {
  if (!options.has("tensors")) {
    return TensorMaker(layer, given.expression, given.request).make(given.seed);
  }
  if (layer.tensor_source().from != TensorSource::From::initialisers) {
    throw Error(layer.resolved() + ": says where its tensors come from, and so does --tensors");
  }
  const TensorFile file = read_tensor_file(options.require("tensors").text);
  return std::make_unique<DrawnTensors>(layer, given.seed, &file);
}

int run_apply(const ParsedOptions& options) {
  const Expression expression = parse_expression(options.positional.front());
  const std::string output_path = options.require("output").text;
  const GivenInput given_input = read_input_option(options);
  const LayerInput& input = given_input.input;
  const Layer layer(expression, given_input.problem, input.heads);
  const std::string reason = layer.refuses();
  if (!reason.empty()) {
    throw Error(expression.text() + " refuses " + given_input.source + ": " + reason);
  }
  const std::string picture = options.get("picture");
  if (!picture.empty()) require_weights_picture(layer, input, picture);

  const int threads = static_cast<int>(options.integer("threads", 1, 1, 4096));
  const std::unique_ptr<DrawnTensors> tensors = tensors_of(layer, given_input, options);
  Executor executor(layer, input, *tensors, threads);
  const bool want_log_sum_exp = options.has("log-sum-exp");
  if (want_log_sum_exp && !layer.gives_log_sum_exp()) {
    throw Error(expression.text() + ": has no row log-sum-exp, because it is no softmax over keys");
  }
  LayerOutput output;
  executor.poison(output, want_log_sum_exp);
  executor.run(output, want_log_sum_exp);
  if (!executor.intact() || !output.intact()) {
    throw std::runtime_error(expression.text() + ": wrote beside its scratch or its output");
  }
  require_finite(output, expression.text());

  const auto rank = static_cast<std::size_t>(input.rank);
  TensorFile result;
  result.tensors["o"] =
      to_array(output.out, {output.batch, output.heads, output.queries, output.value_dim}, rank);
  if (want_log_sum_exp) {
    result.tensors["log_sum_exp"] =
        to_array(output.log_sum_exp, {output.batch, output.heads, output.queries}, rank - 1);
  }
  result.metadata = {{"variant", layer.resolved()},
                     {"seed", std::to_string(given_input.seed)},
                     {"causal", given_input.problem.causal ? "true" : "false"}};
  write_safetensors(output_path, result);
  if (options.has("save-tensors")) {
    TensorFile saved = tensors->save();
    saved.metadata = result.metadata;
    write_safetensors(options.require("save-tensors").text, saved);
  }
  if (!picture.empty()) draw_weights(layer, input, *tensors, picture);
  fmt::print("{}: wrote o {} to {}\n", layer.resolved(), result.tensors["o"].shape_text(),
             output_path);
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {
      .name = "apply",
      .synopsis = "EXPRESSION --input FILE|EXPRESSION --output FILE [options]",
      .summary = "runs one layer expression on your tensors",
      .details =
          "A file of inputs holds q, k, v (and x, where the variant reads it) of shape\n"
          "[batch, heads, n, dim], [heads, n, dim] or [n, dim], as .safetensors, .npz or .npy; an\n"
          "optional `lengths` [batch] trims each sequence. A generator, gaussian or\n"
          "alignment(noise=0.1), makes --length keys instead; it is told from a file by having\n"
          "neither . nor / in its name. The result is `o` in a .safetensors file.",
      .options = with_input_options(
          {{"output", "FILE", "where o goes (.safetensors)"},
           {"tensors", "FILE", "the variant's own tensors, by name, instead of drawn ones"},
           {"save-tensors", "FILE", "writes the variant's tensors, choices included"},
           {"threads", "N", "threads that may be used (default 1)"},
           {"log-sum-exp", "", "also writes the rows' log-sum-exp"},
           weights_picture_option(),
           plugin_option()}),
      .min_words = 1,
      .max_words = 1,
      .run = run_apply,
      .order = 5};
});

}  // namespace
}  // namespace subquad
