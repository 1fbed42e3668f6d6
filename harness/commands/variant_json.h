#pragma once

#include <nlohmann/json.hpp>

#include "layers/catalogue.h"
#include "layers/drawn_tensors.h"

namespace subquad {

/// Problem on which the catalogue shows tensor shapes, targets and costs.
Problem example_problem();

/// Kinds of problems that a variant at default parameters takes: found by asking it, not declared
/// twice. Empty reason: takes it.
struct Capability {
  std::string name;  ///< "causal", "cross", ...
  std::string doc;
  std::string reason;
};
std::vector<Capability> capabilities(const Variant& variant);

/// All that a variant declares, at default parameters.
nlohmann::ordered_json variant_to_json(const CatalogueEntry& entry);
/// The hyper-parameters of a variant or an input.
nlohmann::ordered_json parameters_to_json(const std::vector<ParameterInfo>& parameters);

/// The range of a parameter in words: "0 to 1", "at least 1", "any", or its choices.
std::string range_text(const ParameterInfo& parameter);
/// "[rank=256, keys=512]".
std::string shape_text(const Shape& shape);
std::vector<std::string> power_names(const Powers& powers);
std::vector<std::string> consumed_names(const Consumes& consumes);

}  // namespace subquad
