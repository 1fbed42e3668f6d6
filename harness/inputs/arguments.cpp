#include "inputs/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {

InputArguments::InputArguments(const Expression& expression,
                               const std::vector<ParameterInfo>& known)
    : expression_(expression) {
  std::vector<std::string> names;
  for (const ParameterInfo& info : known) names.push_back(info.name);
  for (const Expression::Argument& argument : expression.arguments) {
    if (argument.key.empty()) {
      fail(fmt::format("'{}' is no key=value", printable(argument.nested.front().text())));
    }
    if (std::ranges::find(names, argument.key) == names.end()) {
      fail(fmt::format("{} has no parameter '{}'{}", expression.name, printable(argument.key),
                       suggestion(argument.key, names)));
    }
  }
}

const std::string* InputArguments::written(std::string_view key) const {
  for (const Expression::Argument& argument : expression_.arguments) {
    if (argument.key == key) return &argument.value;
  }
  return nullptr;
}

std::string InputArguments::path() const {
  if (const std::string* text = written("path")) return *text;
  fail("path is missing");
}

Index InputArguments::count(std::string_view key) const {
  const std::string* text = written(key);
  if (text == nullptr) return 0;
  constexpr double kMost = 0x1p40;
  const double number = evaluate(*text, {});
  if (!(number >= 0 && number <= kMost && number == static_cast<double>(Index(number)))) {
    fail(fmt::format("{} = {} is no whole number from 0 to 2^40", key, printable(*text)));
  }
  return static_cast<Index>(number);
}

void InputArguments::fail(const std::string& what) const {
  throw Error(printable(expression_.text(), 200) + ": " + what);
}

}  // namespace subquad
