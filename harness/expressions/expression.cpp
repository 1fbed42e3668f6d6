#include "expressions/expression.h"

#include <algorithm>
#include <utility>

#include "expressions/parse_limits.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }
bool starts_name(char c) { return c >= 'a' && c <= 'z'; }
bool continues_name(char c) { return starts_name(c) || (c >= '0' && c <= '9') || c == '_'; }

std::string quoted(char c) {
  return is_control(c) ? "a control character" : "'" + printable({&c, 1}) + "'";
}

/// Splits at `|` outside parentheses.
std::vector<std::string_view> split_alternatives(std::string_view value) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '(') ++depth;
    if (value[i] == ')') --depth;
    if (value[i] == '|' && depth == 0) {
      parts.push_back(value.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(value.substr(begin));
  return parts;
}

/// Recursive descent over
///     expression = name [ "(" [ argument { "," argument } ] ")" ]
///     argument   = name "=" value | expression
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Expression whole() {
    if (text_.size() > kMaxExpressionLength) {
      fail("is longer than " + std::to_string(kMaxExpressionLength) + " characters");
    }
    Expression result = expression(0);
    if (!at_end()) fail("unexpected " + quoted(text_[position_]));
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("expression '" + excerpt(text_, position_) + "': " + what + " at column " +
                std::to_string(position_ + 1));
  }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  }
  bool at_end() {
    skip_space();
    return position_ == text_.size();
  }
  bool take(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  std::string name(const char* what) {
    if (at_end()) fail(std::string(what) + " is missing");
    if (!starts_name(text_[position_])) {
      fail(std::string(what) + " begins with a lower-case letter, not with " +
           quoted(text_[position_]));
    }
    const std::size_t begin = position_;
    while (position_ < text_.size() && continues_name(text_[position_])) ++position_;
    return std::string(text_.substr(begin, position_ - begin));
  }

  Expression expression(int depth) { return rest_of_expression(name("a name"), depth); }

  Expression rest_of_expression(std::string name, int depth) {
    if (depth >= kMaxNestingDepth) {
      fail("more than " + std::to_string(kMaxNestingDepth) + " levels of parentheses");
    }
    Expression result{std::move(name), {}};
    if (!take('(') || take(')')) return result;
    do {
      result.arguments.push_back(argument(result, depth));
    } while (take(','));
    if (!take(')')) fail(at_end() ? "')' is missing" : "unexpected " + quoted(text_[position_]));
    return result;
  }

  Expression::Argument argument(const Expression& owner, int depth) {
    skip_space();
    const std::size_t begin = position_;
    std::string first = name("an argument");
    if (!take('=')) return {{}, {}, {rest_of_expression(std::move(first), depth + 1)}};
    for (const Expression::Argument& other : owner.arguments) {
      if (other.key == first) {
        position_ = begin;
        fail("'" + printable(first) + "' is given twice");
      }
    }
    return {std::move(first), value(), {}};
  }

  std::string value() {
    skip_space();
    const std::size_t begin = position_;
    int depth = 0;
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (depth == 0 && (c == ',' || c == ')')) break;
      if (c == '(' && ++depth > kMaxNestingDepth) {
        fail("more than " + std::to_string(kMaxNestingDepth) + " levels of parentheses");
      }
      if (c == ')') --depth;
    }
    if (depth > 0) fail("')' is missing");
    const std::string_view written = trimmed(text_.substr(begin, position_ - begin));
    if (written.empty()) fail("a value is missing");
    check_plain(written);
    std::string result;
    for (std::string_view part : split_alternatives(written)) {
      part = trimmed(part);
      if (part.empty()) fail("an empty alternative in '" + printable(written) + "'");
      result += (result.empty() ? "" : "|") + std::string(part);
    }
    return result;
  }

  /// Values are written into configs, line by line, and into records, as UTF-8.
  void check_plain(std::string_view value) {
    const auto control =
        std::ranges::find_if(value, [](char c) { return is_control(c) && c != '\t'; });
    position_ = static_cast<std::size_t>(control - text_.begin());
    if (control != value.end()) fail("unexpected " + quoted(*control));
    if (!is_plain_text(value)) fail("a value that is no plain text (UTF-8)");
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

std::vector<Expression> expanded(const Expression& expression);

/// What one argument stands for.
std::vector<Expression::Argument> alternatives(const Expression::Argument& argument) {
  std::vector<Expression::Argument> result;
  if (argument.key.empty()) {
    for (Expression& nested : expanded(argument.nested.front())) {
      result.push_back({{}, {}, {std::move(nested)}});
    }
  } else {
    for (const std::string_view value : split_alternatives(argument.value)) {
      result.push_back({argument.key, std::string(value), {}});
    }
  }
  return result;
}

std::vector<Expression> expanded(const Expression& expression) {
  std::vector<Expression> results = {{expression.name, {}}};
  for (const Expression::Argument& argument : expression.arguments) {
    const std::vector<Expression::Argument> choices = alternatives(argument);
    std::vector<Expression> extended;
    extended.reserve(results.size() * choices.size());
    for (const Expression& begun : results) {
      for (const Expression::Argument& choice : choices) {
        extended.push_back(begun);
        extended.back().arguments.push_back(choice);
      }
    }
    results = std::move(extended);
  }
  return results;
}

}  // namespace

std::string Expression::text() const {
  if (arguments.empty()) return name;
  std::string result = name + "(";
  const char* separator = "";
  for (const Argument& argument : arguments) {
    result += separator;
    result +=
        argument.key.empty() ? argument.nested.front().text() : argument.key + "=" + argument.value;
    separator = ",";
  }
  return result + ")";
}

Expression parse_expression(std::string_view text) { return Parser(text).whole(); }

SweepSize sweep_size(const Expression& expression) {
  SweepSize size;
  double bytes_of_one = static_cast<double>(sizeof(expression) + expression.name.size());
  for (const Expression::Argument& argument : expression.arguments) {
    SweepSize choices;
    if (argument.key.empty()) {
      choices = sweep_size(argument.nested.front());
    } else {
      const auto values = split_alternatives(argument.value);
      choices.count = static_cast<double>(values.size());
      for (const std::string_view value : values)
        choices.bytes += static_cast<double>(value.size());
    }
    size.count *= choices.count;
    // Each choice stands in the same share of all combinations.
    bytes_of_one += static_cast<double>(sizeof(argument) + argument.key.size());
    bytes_of_one += choices.bytes / choices.count;
  }
  size.bytes = size.count * bytes_of_one;
  return size;
}

std::vector<Expression> expand_sweeps(const Expression& expression) {
  const SweepSize size = sweep_size(expression);
  if (size.count > kMaxSweepSize || size.bytes > kMaxSweepBytes) {
    throw Error("expression '" + excerpt(expression.text(), 0) +
                "': its sweeps stand for more than " + std::to_string(kMaxSweepSize) +
                " expressions, or for very long ones");
  }
  return expanded(expression);
}

}  // namespace subquad
