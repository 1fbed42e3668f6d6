#include "commands/variant_json.h"

#include <fmt/format.h>

#include <cmath>

#include "layers/layer.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

/// JSON has no infinity: an open end is null.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json shape_to_json(const Shape& shape) {
  Json extents = Json::array();
  for (const Extent& extent : shape) {
    extents.push_back({{"name", std::string(extent.name)}, {"size", extent.size}});
  }
  return extents;
}

Json tensors_to_json(const Variant& variant) {
  Json tensors = Json::array();
  for (const TensorInfo& tensor : tensor_infos(variant, example_problem())) {
    tensors.push_back({{"name", tensor.name},
                       {"shape", shape_to_json(tensor.shape)},
                       {"element", tensor.element},
                       {"initialiser", tensor.initialiser},
                       {"role", to_string(tensor.role)},
                       {"sharing", to_string(tensor.sharing)},
                       {"fitted", to_string(tensor.fitting.way)},
                       {"fitting", tensor.fitting.how},
                       {"doc", tensor.doc}});
  }
  return tensors;
}

Json capabilities_to_json(const Variant& variant) {
  Json all = Json::object();
  for (const Capability& capability : capabilities(variant)) {
    all[capability.name] = capability.reason.empty();
  }
  return all;
}

}  // namespace

Problem example_problem() { return {.queries = 512, .keys = 512, .dim = 64, .value_dim = 64}; }

std::vector<Capability> capabilities(const Variant& variant) {
  const Problem self = example_problem();
  Problem causal = self, cross = self, decode = self, wide = self;
  causal.causal = true;
  cross.queries = 96;
  decode.causal = true;
  decode.queries = 1;
  decode.first_query = decode.keys - 1;
  wide.value_dim = 80;
  return {
      {"self", "queries and keys are the same tokens", refusal_of(variant, self)},
      {"causal", "a query sees only itself and what is before it", refusal_of(variant, causal)},
      {"cross", "queries unlike keys in number", refusal_of(variant, cross)},
      {"last_queries", "causal, the queries being the last of the keys",
       refusal_of(variant, decode)},
      {"unlike_value_dim", "value dim unlike head dim", refusal_of(variant, wide)},
  };
}

std::string range_text(const ParameterInfo& parameter) {
  if (parameter.type == "choice") return fmt::format("{}", fmt::join(parameter.choices, " | "));
  if (parameter.type == "some") {
    return fmt::format("one or more of {}, with + between", fmt::join(parameter.choices, " | "));
  }
  if (parameter.type == "boolean") return "true | false";
  const auto [low, high] = parameter.range;
  if (std::isfinite(low) && std::isfinite(high)) return fmt::format("{} to {}", low, high);
  if (std::isfinite(low)) return fmt::format("at least {}", low);
  if (std::isfinite(high)) return fmt::format("at most {}", high);
  return "any";
}

std::string shape_text(const Shape& shape) {
  std::vector<std::string> extents;
  for (const Extent& extent : shape)
    extents.push_back(fmt::format("{}={}", extent.name, extent.size));
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

std::vector<std::string> power_names(const Powers& powers) {
  std::vector<std::string> names;
  const auto add = [&](bool has, const char* name) {
    if (has) names.emplace_back(name);
  };
  add(powers.compose, "compose");
  add(powers.plan, "plan");
  add(powers.weights, "weights");
  add(powers.prepare, "prepare");
  add(powers.stream, "stream");
  add(powers.calibrate, "calibrate");
  add(powers.backward, "backward");
  return names;
}

std::vector<std::string> consumed_names(const Consumes& consumes) {
  std::vector<std::string> names;
  if (consumes.q) names.emplace_back("q");
  if (consumes.k) names.emplace_back("k");
  if (consumes.v) names.emplace_back("v");
  if (consumes.x) names.emplace_back("x");
  return names;
}

Json parameters_to_json(const std::vector<ParameterInfo>& parameters) {
  Json all = Json::array();
  for (const ParameterInfo& parameter : parameters) {
    Json json = {
        {"name", parameter.name}, {"type", parameter.type}, {"default", parameter.default_value}};
    if (parameter.type == "choice" || parameter.type == "some") {
      json["choices"] = parameter.choices;
    } else if (parameter.type != "boolean") {
      json["range"] = {finite_or_null(parameter.range.low), finite_or_null(parameter.range.high)};
    }
    json["doc"] = parameter.doc;
    all.push_back(json);
  }
  return all;
}

Json variant_to_json(const CatalogueEntry& entry) {
  const Problem problem = example_problem();
  const std::unique_ptr<Variant> variant = make_variant(*entry.registration, {}, problem);
  const Info& info = entry.info();
  return {
      {"name", std::string(info.name)},
      {"summary", std::string(info.summary)},
      {"citation", std::string(info.citation)},
      {"complexity", {{"time", std::string(info.time)}, {"memory", std::string(info.memory)}}},
      {"members", std::string(info.members)},
      {"origin", entry.origin},
      {"library", variant->library()},
      {"target", to_string(variant->target(problem))},
      {"dense_target", variant->dense_target(problem)},
      {"exact_when", variant->exact_when(problem)},
      {"scope", variant->scope() == Scope::layer ? "layer" : "head"},
      {"consumes", consumed_names(variant->consumes())},
      {"powers", power_names(entry.registration->powers)},
      {"capabilities", capabilities_to_json(*variant)},
      {"parameters", parameters_to_json(parameter_infos(parameters_of(*variant)))},
      {"tensors", tensors_to_json(*variant)},
  };
}

}  // namespace subquad
