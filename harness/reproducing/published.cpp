#include "reproducing/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "expressions/settings.h"
#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

/// Variables and functions of a formula.
std::set<std::string> names_in(const std::string& formula) {
  std::set<std::string> names;
  std::string name;
  for (const char c : formula + " ") {
    const bool letter = (c >= 'a' && c <= 'z') || c == '_';
    if (letter || (!name.empty() && c >= '0' && c <= '9')) {
      name += c;
    } else if (!name.empty()) {
      names.insert(std::exchange(name, {}));
    }
  }
  return names;
}

/// `{name}` in a layer expression stands for that variable, as it is written.
std::string filled(std::string text, const Variables& variables) {
  for (const Variable& variable : variables) {
    const std::string place = "{" + variable.name + "}", value = fmt::format("{}", variable.value);
    for (std::size_t at = text.find(place); at != std::string::npos; at = text.find(place, at)) {
      text.replace(at, place.size(), value);
    }
  }
  return text;
}

template <class T>
void prefer(std::optional<T>& mine, const std::optional<T>& inner) {
  if (inner) mine = inner;
}

void append(Variables& variables, const Variables& more) {
  variables.insert(variables.end(), more.begin(), more.end());
}

}  // namespace

Selector Selector::with(const Selector& inner) const {
  Selector merged = *this;
  prefer(merged.figure, inner.figure);
  prefer(merged.variant, inner.variant);
  prefer(merged.input, inner.input);
  prefer(merged.length, inner.length);
  prefer(merged.dim, inner.dim);
  prefer(merged.heads, inner.heads);
  prefer(merged.threads, inner.threads);
  prefer(merged.causal, inner.causal);
  prefer(merged.mode, inner.mode);
  prefer(merged.feed_forward, inner.feed_forward);
  prefer(merged.computed, inner.computed);
  prefer(merged.exponent_in, inner.exponent_in);
  prefer(merged.from, inner.from);
  prefer(merged.to, inner.to);
  return merged;
}

Selector Panel::selector_of(std::size_t row, std::size_t column) const {
  Selector merged = selector.with(rows[row].selector).with(columns[column].selector);
  if (merged.variant) {
    merged.variant =
        filled(filled(*merged.variant, columns[column].variables), rows[row].variables);
  }
  return merged;
}

double PublishedTable::value_of(const std::string& formula, Variables variables) const {
  std::set<std::string> needed = names_in(formula);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (needed.count(part->first) > 0) needed.merge(names_in(part->second));
  }
  for (const auto& [name, meaning] : parts) {
    if (needed.count(name) > 0) variables.push_back({name, evaluate_formula(meaning, variables)});
  }
  return evaluate_formula(formula, variables);
}

Variables PublishedTable::formula_variables(const Panel& panel, std::size_t row,
                                            std::size_t column) const {
  Variables variables = shape;
  if (const auto length = panel.selector_of(row, column).length) {
    variables.push_back({"n", static_cast<double>(*length)});
  }
  append(variables, panel.rows[row].variables);
  append(variables, panel.columns[column].variables);
  return variables;
}

std::vector<std::string> table_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(kPublishedEnding))
      names.push_back(file.substr(0, file.size() - kPublishedEnding.size()));
  }
  if (code) throw Error(folder + ": no folder of published tables: " + code.message());
  std::sort(names.begin(), names.end());
  return names;
}

PublishedTable find_published_table(const std::string& folder, const std::string& name) {
  const std::vector<std::string> names = table_names(folder);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw Error("unknown table '" + name + "'" + suggestion(name, names));
  }
  return read_published_table(folder + "/" + name + std::string(kPublishedEnding));
}

}  // namespace subquad
