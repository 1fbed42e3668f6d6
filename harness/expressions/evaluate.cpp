// Values of hyper-parameters as expressions of the problem, and formulas of tables.

#include "expressions/evaluate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "expressions/expression.h"
#include "expressions/parse_limits.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

struct Function {
  std::string_view name;
  int arguments;
  double (*apply)(double, double);
};
constexpr std::array kFunctions = {
    Function{"sqrt", 1, [](double a, double) { return std::sqrt(a); }},
    Function{"log2", 1, [](double a, double) { return std::log2(a); }},
    Function{"floor", 1, [](double a, double) { return std::floor(a); }},
    Function{"ceil", 1, [](double a, double) { return std::ceil(a); }},
    Function{"round", 1, [](double a, double) { return std::round(a); }},
    Function{"min", 2, [](double a, double b) { return std::min(a, b); }},
    Function{"max", 2, [](double a, double b) { return std::max(a, b); }}};

std::string quoted(char c) { return "'" + printable({&c, 1}) + "'"; }

template <class Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& row : table) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

/// Recursive descent over
///     sum     = product { ("+" | "-") product }
///     product = signed { ("*" | "/") signed }
///     signed  = [ "+" | "-" ] signed | power
///     power   = primary [ "^" signed ]              (so -2^2 = -4, and ^ groups from the right)
///     primary = number | variable | function "(" sum { "," sum } ")" | "(" sum ")"
class Evaluator {
 public:
  Evaluator(std::string_view text, const Variables& variables)
      : text_(text), variables_(variables) {}

  double whole() {
    if (text_.size() > kMaxExpressionLength) {
      throw Error("a value is longer than " + std::to_string(kMaxExpressionLength) + " characters");
    }
    const double result = sum();
    peek();
    if (position_ < text_.size()) fail("unexpected " + quoted(text_[position_]));
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("value '" + excerpt(text_, position_) + "': " + what + " at column " +
                std::to_string(position_ + 1));
  }
  double finite(double value, const char* what) const {
    if (!std::isfinite(value)) fail(std::string("the result of ") + what + " is no finite number");
    return value;
  }

  /// The next character that counts, 0 at the end.
  char peek() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t')) {
      ++position_;
    }
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++position_;
    return true;
  }

  double sum() {
    double value = product();
    for (;;) {
      if (take('+')) {
        value = finite(value + product(), "+");
      } else if (take('-')) {
        value = finite(value - product(), "-");
      } else {
        return value;
      }
    }
  }

  double product() {
    double value = signed_factor();
    for (;;) {
      if (take('*')) {
        value = finite(value * signed_factor(), "*");
      } else if (take('/')) {
        const double divisor = signed_factor();
        if (divisor == 0) fail("division by zero");
        value = finite(value / divisor, "/");
      } else {
        return value;
      }
    }
  }

  double signed_factor() {
    const Level level(*this);
    if (take('-')) return -signed_factor();
    if (take('+')) return signed_factor();
    const double base = primary();
    return take('^') ? finite(std::pow(base, signed_factor()), "^") : base;
  }

  double primary() {
    const char c = peek();
    if (position_ == text_.size()) fail("a number is missing");
    if (take('(')) {
      const double value = sum();
      if (!take(')')) fail("')' is missing");
      return value;
    }
    if ((c >= '0' && c <= '9') || c == '.') return number();
    if (c >= 'a' && c <= 'z') return named();
    fail("unexpected " + quoted(c));
  }

  double number() {
    // from_chars, unlike strtod, knows no locale.
    double value = 0;
    const char* begin = text_.data() + position_;
    const auto [end, status] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (status == std::errc::result_out_of_range) fail("a number beyond what a double holds");
    if (status != std::errc()) fail("no number");
    position_ += static_cast<std::size_t>(end - begin);
    return value;
  }

  double named() {
    const std::size_t begin = position_;
    const auto belongs = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    };
    while (position_ < text_.size() && belongs(text_[position_])) ++position_;
    const std::string_view name = text_.substr(begin, position_ - begin);
    if (peek() == '(') {
      for (const Function& function : kFunctions) {
        if (function.name == name) return call(function);
      }
      position_ = begin;
      fail("unknown function '" + printable(name) + "' (known: " + names_of(kFunctions) + ")");
    }
    // The last of a name counts, as where one was set after another.
    for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable) {
      if (variable->name == name) return variable->value;
    }
    position_ = begin;
    fail("unknown variable '" + printable(name) + "' (known: " + names_of(variables_) + ")");
  }

  double call(const Function& function) {
    take('(');
    double arguments[2] = {0, 0};
    for (int i = 0; i < function.arguments; ++i) {
      if (i > 0 && !take(',')) fail("',' is missing: " + std::string(function.name) + " takes two");
      arguments[i] = sum();
    }
    if (!take(')')) fail("')' is missing");
    return finite(function.apply(arguments[0], arguments[1]), function.name.data());
  }

  /// Bounds the recursion.
  struct Level {
    explicit Level(Evaluator& evaluator) : depth(evaluator.depth_) {
      if (++depth > kMaxNestingDepth) {
        evaluator.fail("more than " + std::to_string(kMaxNestingDepth) + " levels of nesting");
      }
    }
    ~Level() { --depth; }
    int& depth;
  };

  std::string_view text_;
  const Variables& variables_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace

Variables variables_of(const Problem& problem) {
  return {{"n", static_cast<double>(problem.keys)},
          {"keys", static_cast<double>(problem.keys)},
          {"queries", static_cast<double>(problem.queries)},
          {"dim", static_cast<double>(problem.dim)},
          {"value_dim", static_cast<double>(problem.value_dim)}};
}

double evaluate_formula(std::string_view formula, const Variables& variables) {
  return Evaluator(formula, variables).whole();
}

double evaluate(std::string_view value, const Problem& problem) {
  return evaluate_formula(value, variables_of(problem));
}

}  // namespace subquad
