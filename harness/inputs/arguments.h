#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "expressions/expression.h"
#include "expressions/settings.h"
#include "subquad/view.h"

namespace subquad {

/// Arguments of an input whose parameters are texts and not a class's members, as those that read a
/// file are.
class InputArguments {
 public:
  /// Throws Error for an argument that is not among `known`.
  InputArguments(const Expression& expression, const std::vector<ParameterInfo>& known);

  /// Null where the expression says nothing.
  const std::string* written(std::string_view key) const;
  /// Error where it is missing.
  std::string path() const;
  /// A whole number from 0 to 2^40; 0 where nothing is written.
  Index count(std::string_view key) const;

  [[noreturn]] void fail(const std::string& what) const;

 private:
  const Expression& expression_;
};

}  // namespace subquad
