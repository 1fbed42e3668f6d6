// Any text is an expression or refused. The canonical text of an expression parses back to the same
// expression. Its sweeps stand for expressions without sweeps. Its values are finite numbers or
// refused, and settings made from it lie in their ranges.

#include <cmath>

#include "expressions/expression.h"
#include "expressions/parse_limits.h"
#include "expressions/settings.h"
#include "fuzz.h"

namespace subquad {
namespace {

using fuzz::accepts;
using fuzz::require;

bool same(const Expression& a, const Expression& b) {
  if (a.name != b.name || a.arguments.size() != b.arguments.size()) return false;
  for (std::size_t i = 0; i < a.arguments.size(); ++i) {
    const Expression::Argument &x = a.arguments[i], &y = b.arguments[i];
    if (x.key != y.key || x.value != y.value || x.nested.size() != y.nested.size()) return false;
    if (!x.nested.empty() && !same(x.nested.front(), y.nested.front())) return false;
  }
  return true;
}

Problem problem() { return {.queries = 256, .keys = 1024, .dim = 64, .value_dim = 48}; }

void check_value(std::string_view text) {
  double value = 0;
  if (accepts([&] { value = evaluate(text, problem()); })) {
    require(std::isfinite(value), "a value is finite");
  }
}

/// Hyper-parameters of every type.
struct Settings {
  enum class Kind { full, simple, local };
  Index radius = 64;
  double rate = 0.5;
  bool shared = false;
  Kind kind = Kind::full;

  void visit(Parameters& parameters) {
    parameters("radius", radius, between(1, 1 << 20), "keys");
    parameters("rate", rate, between(0, 1), "share");
    parameters("shared", shared, "whether");
    parameters("kind", kind, {"full", "simple", "local"}, "which");
  }
};

void check_settings(const Expression& expression) {
  Settings settings;
  const auto visit = [&](Parameters& parameters) { settings.visit(parameters); };
  if (!accepts([&] { configure(visit, expression, problem()); })) return;
  require(settings.radius >= 1 && settings.radius <= 1 << 20, "an integer lies in its range");
  require(settings.rate >= 0 && settings.rate <= 1, "a real number lies in its range");
  const Settings before = settings;
  configure(visit, parse_expression(resolved_text(expression.name, visit)), problem());
  require(settings.radius == before.radius && settings.rate == before.rate &&
              settings.shared == before.shared && settings.kind == before.kind,
          "resolved text gives the same settings");
}

void check_sweeps(const Expression& expression) {
  const SweepSize size = sweep_size(expression);
  const bool fits = size.count <= kMaxSweepSize && size.bytes <= kMaxSweepBytes;
  // Large ones take seconds here.
  if (fits && size.count > 100) return;
  std::vector<Expression> all;
  require(accepts([&] { all = expand_sweeps(expression); }) == fits,
          "only large sweeps are refused");
  if (!fits) return;
  require(static_cast<double>(all.size()) == size.count, "sweeps are counted right");
  for (std::size_t i = 0; i < std::min<std::size_t>(all.size(), 20); ++i) {
    const std::vector<Expression> again = expand_sweeps(all[i]);
    require(again.size() == 1 && same(again.front(), all[i]), "no sweep is left in a sweep's part");
    require(same(parse_expression(all[i].text()), all[i]), "a sweep's part parses back to itself");
    check_settings(all[i]);
  }
}

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  const std::string_view text = fuzz::text_of(data, size);
  check_value(text);
  Expression expression;
  if (!accepts([&] { expression = parse_expression(text); })) return 0;
  const std::string canonical = expression.text();
  require(same(parse_expression(canonical), expression), "canonical text parses back");
  require(canonical.size() <= text.size(), "canonical text is no longer than what was written");
  require(is_plain_text(canonical) && canonical.find('\n') == std::string::npos,
          "canonical text is one line of plain text");
  for (const Expression::Argument& argument : expression.arguments) check_value(argument.value);
  check_sweeps(expression);
  return 0;
}
