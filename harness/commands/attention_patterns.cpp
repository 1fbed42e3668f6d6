#include "commands/attention_patterns.h"

#include <fmt/format.h>

#include <algorithm>

#include "inputs/input.h"
#include "layers/call_inputs.h"
#include "layers/executor.h"
#include "measuring/fitting.h"
#include "subquad/error.h"

namespace subquad {
namespace {

constexpr Index kDim = 32;

/// What a query does not look at is exactly 0; a variant that leaves out keys is drawn by that.
bool leaves_out_keys(const Variant& variant, const Problem& problem) {
  switch (variant.target(problem)) {
    case Target::restriction:
    case Target::oracle:
      return true;
    case Target::control:
      return variant.gives_log_sum_exp();
    default:
      return false;
  }
}

}  // namespace

void require_weights(const Layer& layer) {
  for (Index call = 0; call < layer.distinct(); ++call) {
    const std::string& name = layer.variant_name(call);
    if (Catalogue::instance().find(name).registration->powers.weights) continue;
    throw Error(
        fmt::format("{} has no attention matrix to draw: its output is no "
                    "weighted sum of values per query",
                    name));
  }
}

AttentionPatterns attention_patterns(const Expression& expression, const PatternRequest& request) {
  const Expression inner = TensorSource::of(expression).layer;
  const Index listed = inner.name == "heads" ? static_cast<Index>(inner.arguments.size()) : 1;
  const Expression source = parse_expression(request.input);
  const InputRequest shape{.batch = 1,
                           .heads = std::max<Index>(1, listed),
                           .key_heads = std::max<Index>(1, listed),
                           .queries = request.length,
                           .keys = request.length,
                           .dim = kDim,
                           .value_dim = kDim,
                           .seed = request.seed};
  const LayerInput input = make_input(source, shape);
  const Layer layer(expression,
                    {.queries = input.queries,
                     .keys = input.keys,
                     .dim = input.dim,
                     .value_dim = input.value_dim,
                     .causal = request.causal},
                    input.heads);
  const std::string reason = layer.refuses();
  if (!reason.empty()) throw Error(expression.text() + " refuses: " + reason);
  require_weights(layer);
  const std::unique_ptr<DrawnTensors> tensors =
      TensorMaker(layer, source, shape).make(request.seed);
  Executor executor(layer, input, *tensors, 1);
  LayerOutput output;
  executor.run(output);  // for the choices that it makes

  AttentionPatterns patterns;
  patterns.problem = layer.problem();
  const std::vector<std::string> titles = layer.members();
  for (Index call = 0; call < layer.distinct(); ++call) {
    patterns.panels.push_back({.title = titles[static_cast<std::size_t>(call)],
                               .seen_only = leaves_out_keys(layer.variant(call), layer.problem()),
                               .weights = reference_weights(layer, input, *tensors, 0, call)});
  }
  return patterns;
}

}  // namespace subquad
