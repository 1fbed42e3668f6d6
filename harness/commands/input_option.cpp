#include "commands/input_option.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "experiments/points.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

constexpr Index kMostRows = Index{1} << 40;
/// Options of an experiment that shape what a generator makes; a file has its own.
constexpr std::string_view kShapes[] = {"batch", "heads", "key-heads", "dim", "value-dim"};

OptionSpec experiment_spec(std::string_view name) {
  const std::vector<OptionSpec> specs = experiment_option_specs();
  return *std::ranges::find(specs, name, &OptionSpec::name);
}

/// A file by its path is the input that the expression file(path=...) names. Made without parsing,
/// as a path may hold what an expression cannot.
Expression source_of(const std::string& text) {
  const bool is_path = text.substr(0, text.find('(')).find_first_of("./") != std::string::npos;
  if (!is_path) return parse_expression(text);
  return {.name = "file", .arguments = {{.key = "path", .value = text, .nested = {}}}};
}

InputRequest generators_request(const Expression& source, std::uint64_t seed,
                                const ParsedOptions& options) {
  if (!options.has("length")) {
    throw Error("command line: option --length is missing: " + source.name +
                " makes as many keys as it is asked for");
  }
  Settings settings;
  for (const std::string_view name : kShapes) {
    const auto given = options.values.find(std::string(name));
    if (given != options.values.end()) settings.insert(*given);
  }
  Experiment shape;
  apply_settings(shape, settings);
  shape.lengths = {options.integer("length", 0, 1, kMostRows)};
  shape.queries = options.integer("queries", 0, 0, kMostRows);
  shape.seeds = {seed};
  return request_of(shape);
}

/// The whole file, unless options cut it.
InputRequest files_request(const LayerInput& file, const ParsedOptions& options) {
  InputRequest request;
  request.keys = options.integer("length", file.keys, 1, kMostRows);
  request.queries = options.integer("queries", 0, 0, kMostRows);
  if (request.queries == 0) {
    request.queries = file.queries == file.keys ? request.keys : file.queries;
  }
  return request;
}

void read_file(const std::string& path, const ParsedOptions& options, GivenInput& given) {
  for (const std::string_view name : kShapes) {
    if (!options.has(std::string(name))) continue;
    throw Error(
        fmt::format("command line: --{} is for generators; {} has its own", name, printable(path)));
  }
  given.input = read_layer_input(path);
  given.request = files_request(given.input, options);
  const bool cut =
      given.expression.arguments.size() > 1 || options.has("length") || options.has("queries");
  if (cut) given.input = make_input(given.expression, given.request);
}

Problem problem_of(const LayerInput& input, const ParsedOptions& options) {
  Problem problem{.queries = input.queries,
                  .keys = input.keys,
                  .dim = input.dim,
                  .value_dim = input.value_dim,
                  .causal = options.has("causal")};
  const Index last = problem.causal ? std::max<Index>(0, input.keys - input.queries) : 0;
  problem.first_query = options.integer("first-query", last, 0, input.keys - 1);
  if (options.has("scale")) problem.scale = to_real("scale", options.require("scale"), -1e6, 1e6);
  return problem;
}

}  // namespace

std::vector<OptionSpec> with_input_options(const std::vector<OptionSpec>& options) {
  std::vector<OptionSpec> specs = {
      {"input", "FILE|EXPRESSION", "a file of tensors q, k, v, or an input as `list inputs` names"},
      {"length", "N", "keys that a generator makes; those of a file, from its first (default all)"},
      experiment_spec("queries"),
      {"causal", "", "a query sees only itself and what is before it"},
      {"first-query", "N", "position of the first query among the keys"},
      {"scale", "X", "factor of the scores (default 1 / sqrt(dim))"},
      {"seed", "N", "seed of a generator's input and of drawn tensors (default 0)"}};
  for (const std::string_view name : kShapes) specs.push_back(experiment_spec(name));
  specs.insert(specs.end(), options.begin(), options.end());
  return specs;
}

GivenInput read_input_option(const ParsedOptions& options, const std::string& name) {
  GivenInput given;
  given.source = options.require(name).text;
  given.seed = static_cast<std::uint64_t>(options.integer("seed", 0, 0, Index{1} << 62));
  given.expression = source_of(given.source);
  const std::vector<std::string> files = input_files(given.expression);
  if (files.empty()) {
    given.request = generators_request(given.expression, given.seed, options);
    if (name == kTestInput) given.request.first_sequence = given.request.batch;
    given.input = make_input(given.expression, given.request);
  } else {
    read_file(files.front(), options, given);
  }
  given.problem = problem_of(given.input, options);
  return given;
}

}  // namespace subquad
