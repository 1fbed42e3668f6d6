#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "subquad/problem.h"

namespace subquad {

/// What a formula may name.
struct Variable {
  std::string name;
  double value = 0;
};
using Variables = std::vector<Variable>;

/// What values of hyper-parameters may name: `n` and `keys` (number of keys), `queries`, `dim`,
/// `value_dim`.
Variables variables_of(const Problem& problem);

/// Evaluates a formula, in the language of hyper-parameters' values (expression.h). Of variables of
/// one name the last counts.
double evaluate_formula(std::string_view formula, const Variables& variables);

}  // namespace subquad
