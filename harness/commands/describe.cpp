#include <fmt/format.h>

#include "commands/command.h"
#include "commands/picture.h"
#include "commands/variant_json.h"
#include "layers/catalogue.h"
#include "layers/layer.h"

namespace subquad {
namespace {

void print_parameters(const std::vector<ParameterInfo>& parameters) {
  if (parameters.empty()) {
    fmt::print("\nNo parameters.\n");
    return;
  }
  fmt::print("\nParameters:\n");
  for (const ParameterInfo& parameter : parameters) {
    fmt::print("  {} = {}  ({}, {})\n      {}\n", parameter.name, parameter.default_value,
               parameter.type, range_text(parameter), parameter.doc);
  }
}

void print_tensors(const Variant& variant, const Problem& problem) {
  const std::vector<TensorInfo> tensors = tensor_infos(variant, problem);
  if (tensors.empty()) return;
  fmt::print("\nTensors:\n");
  for (const TensorInfo& tensor : tensors) {
    fmt::print("  {} {} {}, {}, one per {}{}\n      {}\n", tensor.name, shape_text(tensor.shape),
               tensor.element, to_string(tensor.role), to_string(tensor.sharing),
               tensor.initialiser.empty() ? "" : ", drawn from " + tensor.initialiser, tensor.doc);
    if (tensor.fitting.way == Fitting::Way::none) continue;
    fmt::print("      fitted ({}): {}\n", to_string(tensor.fitting.way), tensor.fitting.how);
  }
}

void print_text(const CatalogueEntry& entry, const Variant& variant) {
  const Info& info = entry.info();
  const Problem problem = example_problem();
  fmt::print("{}: {}\n\n", info.name, info.summary);
  fmt::print("  source      {}\n", info.citation);
  fmt::print("  time        {}\n  memory      {}, beyond inputs and output\n", info.time,
             info.memory);
  fmt::print("  target      {}\n", to_string(variant.target(problem)));
  if (variant.dense_target(problem) != "dense") {
    fmt::print("  stands for  {}\n", variant.dense_target(problem));
  }
  const std::string exact = variant.exact_when(problem);
  if (!exact.empty()) fmt::print("  exact at    {}\n", exact);
  fmt::print("  reads       {}{}\n", fmt::join(consumed_names(variant.consumes()), ", "),
             variant.scope() == Scope::layer ? ", all heads at once" : "");
  const std::vector<std::string> powers = power_names(entry.registration->powers);
  if (!powers.empty()) fmt::print("  powers      {}\n", fmt::join(powers, ", "));
  if (!info.members.empty()) {
    fmt::print("  made of     variants that its expression lists; of {} where it lists none\n",
               info.members);
  }
  fmt::print("  from        {}\n", entry.origin);
  if (!variant.library().empty()) fmt::print("  computed by {}\n", variant.library());
  fmt::print("\nTakes:\n");
  for (const Capability& capability : capabilities(variant)) {
    fmt::print("  {:<17} {}\n", capability.name,
               capability.reason.empty() ? "yes: " + capability.doc : "no: " + capability.reason);
  }
  print_parameters(parameter_infos(parameters_of(*entry.registration->make())));
  print_tensors(variant, problem);
  const Cost cost = variant.cost(problem);
  fmt::print("\nOne head of n = {}, dim = {}: {:.4g} multiply-adds, {:.4g} exponentials{}.\n",
             problem.keys, problem.dim, cost.useful.multiply_adds, cost.useful.exponentials,
             cost.exact ? "" : " at the most");
}

int run_describe(const ParsedOptions& options) {
  const bool json = chosen_format(options, {"text", "json"}) == "json";
  const Expression expression = parse_expression(options.positional.front());
  if (options.has("picture")) {
    draw_picture(expression, options);
    return kExitDone;
  }
  const CatalogueEntry entry = Catalogue::instance().find(expression.name);
  if (json) {
    fmt::print("{}\n", variant_to_json(entry).dump(2));
  } else {
    print_text(entry, *make_variant(expression, example_problem()));
  }
  return kExitDone;
}

const CommandRegistrar registrar([]() -> Command {
  return {.name = "describe",
          .synopsis = "EXPRESSION [--format json | --picture FILE]",
          .summary = "a variant's parameters, tensors, refusals and source, or its picture",
          .details =
              "Shapes and costs are those of one head with 512 queries and keys of dim 64.\n"
              "--picture draws which keys each query sees, or the attention matrix of a\n"
              "variant that weights all keys: a panel for each variant of heads(...).",
          .options = picture_options({format_option("text or json"), plugin_option()}),
          .min_words = 1,
          .max_words = 1,
          .run = run_describe,
          .order = 2};
});

}  // namespace
}  // namespace subquad
