#include "expressions/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

/// Shortest text that reads back as the same double, whatever the locale.
std::string number_text(double value) {
  // A whole number prints as one: 1000000000, not 1e+09.
  if (value == std::trunc(value) && std::abs(value) < 0x1p53) {
    return std::to_string(static_cast<long long>(value));
  }
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return {buffer, result.ptr};
}

std::string range_text(const Range& range) {
  const bool below = std::isfinite(range.low), above = std::isfinite(range.high);
  if (below && above) {
    return "from " + number_text(range.low) + " to " + number_text(range.high);
  }
  if (below) return "at least " + number_text(range.low);
  if (above) return "at most " + number_text(range.high);
  return "any number";
}

std::string shown(const Expression& expression) { return printable(expression.text(), 200); }

std::string boolean_text(bool value) { return value ? "true" : "false"; }

std::string choice_text(std::string_view name, int value,
                        std::initializer_list<std::string_view> names) {
  if (value < 0 || value >= static_cast<int>(names.size())) {
    throw std::logic_error("parameter '" + std::string(name) + "' has a value without a name");
  }
  return std::string(names.begin()[value]);
}

std::string some_text(std::string_view name, std::uint32_t bits,
                      std::initializer_list<std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((bits >> i & 1) == 0) continue;
    text += (text.empty() ? "" : "+") + std::string(names.begin()[i]);
  }
  if (text.empty()) throw std::logic_error("parameter '" + std::string(name) + "' names nothing");
  return text;
}

std::string listed(std::initializer_list<std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

class Collector final : public Parameters {
 public:
  std::vector<ParameterInfo> take() { return std::move(infos_); }

 private:
  void integer(std::string_view name, Index& value, Range range, std::string_view doc) override {
    add({std::string(name), "integer", std::to_string(value), range, {}, std::string(doc)});
  }
  void real(std::string_view name, double& value, Range range, std::string_view doc) override {
    add({std::string(name), "real", number_text(value), range, {}, std::string(doc)});
  }
  void boolean(std::string_view name, bool& value, std::string_view doc) override {
    add({std::string(name), "boolean", boolean_text(value), {}, {}, std::string(doc)});
  }
  void choice(std::string_view name, int& value, Names names, std::string_view doc) override {
    add({std::string(name),
         "choice",
         choice_text(name, value, names),
         {},
         std::vector<std::string>(names.begin(), names.end()),
         std::string(doc)});
  }
  void some(std::string_view name, std::uint32_t& bits, Names names,
            std::string_view doc) override {
    add({std::string(name),
         "some",
         some_text(name, bits, names),
         {},
         std::vector<std::string>(names.begin(), names.end()),
         std::string(doc)});
  }
  void add(ParameterInfo info) {
    for (const ParameterInfo& other : infos_) {
      if (other.name == info.name) {
        throw std::logic_error("parameter '" + info.name + "' is declared twice");
      }
    }
    infos_.push_back(std::move(info));
  }

  std::vector<ParameterInfo> infos_;
};

class Assigner final : public Parameters {
 public:
  Assigner(const Expression& expression, const Problem& problem)
      : expression_(expression), problem_(problem) {}

 private:
  const std::string* written(std::string_view name) const {
    for (const Expression::Argument& argument : expression_.arguments) {
      if (argument.key == name) return &argument.value;
    }
    return nullptr;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(shown(expression_) + ": " + what);
  }
  double evaluated(std::string_view name, const std::string& text) const {
    try {
      return evaluate(text, problem_);
    } catch (const Error& error) {
      fail(std::string(name) + ": " + error.what());
    }
  }
  void check(std::string_view name, const std::string& text, double value, Range range) const {
    if (value >= range.low && value <= range.high) return;
    const std::string number = number_text(value);
    fail(std::string(name) + " = " + printable(text) + (number == text ? "" : " = " + number) +
         " is out of range (" + range_text(range) + ")");
  }

  void integer(std::string_view name, Index& value, Range range, std::string_view) override {
    const std::string* text = written(name);
    if (!text) return;
    const double number = std::round(evaluated(name, *text));
    check(name, *text, number, range);
    // Beyond 2^53 a double no longer tells neighbouring integers apart.
    check(name, *text, number, between(-0x1p53, 0x1p53));
    value = static_cast<Index>(number);
  }
  void real(std::string_view name, double& value, Range range, std::string_view) override {
    const std::string* text = written(name);
    if (!text) return;
    const double number = evaluated(name, *text);
    check(name, *text, number, range);
    value = number;
  }
  void boolean(std::string_view name, bool& value, std::string_view) override {
    const std::string* text = written(name);
    if (!text) return;
    if (*text != "true" && *text != "false") {
      fail(std::string(name) + " = " + printable(*text) + " is neither true nor false");
    }
    value = *text == "true";
  }
  void choice(std::string_view name, int& value, Names names, std::string_view) override {
    const std::string* text = written(name);
    if (!text) return;
    const auto found = std::find(names.begin(), names.end(), *text);
    if (found == names.end()) {
      fail(std::string(name) + " = " + printable(*text) + " is none of " + listed(names));
    }
    value = static_cast<int>(found - names.begin());
  }
  void some(std::string_view name, std::uint32_t& bits, Names names, std::string_view) override {
    const std::string* text = written(name);
    if (!text) return;
    bits = 0;
    for (std::string_view rest = *text;;) {
      const std::size_t end = std::min(rest.find('+'), rest.size());
      const std::string_view word = rest.substr(0, end);
      const auto found = std::find(names.begin(), names.end(), word);
      if (found == names.end()) {
        fail(std::string(name) + " = " + printable(*text) + ": '" + printable(word) +
             "' is none of " + listed(names));
      }
      const std::uint32_t bit = std::uint32_t{1} << (found - names.begin());
      if ((bits & bit) != 0) {
        fail(std::string(name) + " = " + printable(*text) + " names '" + printable(word) +
             "' twice");
      }
      bits |= bit;
      if (end == rest.size()) break;
      rest.remove_prefix(end + 1);
    }
  }

  const Expression& expression_;
  const Problem& problem_;
};

}  // namespace

std::vector<ParameterInfo> parameter_infos(const VisitParameters& visit) {
  Collector collector;
  visit(collector);
  return collector.take();
}

void configure(const VisitParameters& visit, const Expression& expression, const Problem& problem) {
  std::vector<std::string> names;
  for (const ParameterInfo& info : parameter_infos(visit)) names.push_back(info.name);
  for (const Expression::Argument& argument : expression.arguments) {
    if (argument.key.empty()) {
      throw Error(shown(expression) + ": '" + shown(argument.nested.front()) +
                  "' is no key=value; " + expression.name + " takes nothing else");
    }
    if (std::find(names.begin(), names.end(), argument.key) == names.end()) {
      throw Error(shown(expression) + ": " + printable(expression.name) + " has no parameter '" +
                  printable(argument.key) + "'" + suggestion(argument.key, names));
    }
  }
  Assigner assigner(expression, problem);
  visit(assigner);
}

std::string resolved_text(std::string_view name, const VisitParameters& visit) {
  Expression expression{std::string(name), {}};
  for (const ParameterInfo& info : parameter_infos(visit)) {
    expression.arguments.push_back({info.name, info.default_value, {}});
  }
  return expression.text();
}

namespace {

/// Levenshtein's distance, where two neighbouring letters changed over count as one slip.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1), above(b.size() + 1), two_above;
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    two_above = above;
    above = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, row[j - 1] + 1, above[j] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  // One slip in three letters still looks like the word; a long unknown word is like nothing.
  std::size_t best_distance =
      std::max<std::size_t>(1, std::min<std::size_t>(word.size(), 30) / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (word.size() > candidate.size() + 30) continue;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  if (const auto near = nearest(word, candidates)) return " (did you mean '" + *near + "'?)";
  if (candidates.empty()) return " (it has none)";
  std::string known;
  for (const std::string& candidate : candidates) known += (known.empty() ? "" : ", ") + candidate;
  return " (known: " + known + ")";
}

}  // namespace subquad
