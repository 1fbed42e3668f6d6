#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "expressions/expression.h"
#include "subquad/parameters.h"

namespace subquad {

/// A hyper-parameter as its declaration tells it; what help and `list --format json` print.
struct ParameterInfo {
  std::string name;
  std::string type;                  ///< "integer", "real", "boolean", "choice", "some"
  std::string default_value;         ///< as it would be written in an expression
  Range range;                       ///< numeric types
  std::vector<std::string> choices;  ///< of "choice" one, of "some" one or more with '+' between
  std::string doc;
};

/// Something that declares hyper-parameters: a variant, a generator of inputs.
using VisitParameters = std::function<void(Parameters&)>;

/// The declared parameters, with the values that the members hold now as defaults.
std::vector<ParameterInfo> parameter_infos(const VisitParameters& visit);

/// Sets members from the arguments of `expression`, evaluating values for `problem` (integers are
/// rounded to the nearest). Unknown keys (with the nearest known one), values that do not parse or
/// lie out of range throw Error naming expression, key, value and what is allowed.
void configure(const VisitParameters& visit, const Expression& expression, const Problem& problem);

/// `name(key=value,...)` with every parameter at its present value: the resolved spelling.
std::string resolved_text(std::string_view name, const VisitParameters& visit);

/// The candidate nearest to `word` in edit distance, if one is near.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

/// " (did you mean 'x'?)" or " (known: a, b, c)".
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace subquad
