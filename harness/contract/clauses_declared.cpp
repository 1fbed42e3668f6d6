// Clauses about what a variant says of itself.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "contract/clause.h"
#include "expressions/settings.h"

namespace subquad::contract {
namespace {

bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), allowed);
}

/// Text for a reader: words on one line.
bool is_line(std::string_view text) {
  return !text.empty() && text.front() != ' ' && text.back() != ' ' &&
         text.find_first_of("\n\t") == std::string_view::npos;
}

std::optional<std::string> info_defect(const Info& info) {
  if (!is_name(info.name)) return fmt::format("name '{}' is not [a-z][a-z0-9_]*", info.name);
  for (const auto& [what, text] : {std::pair{"summary", info.summary},
                                   {"citation", info.citation},
                                   {"time", info.time},
                                   {"memory", info.memory}}) {
    if (!is_line(text)) return fmt::format("{} is not a line of text: '{}'", what, text);
  }
  return std::nullopt;
}

std::optional<std::string> parameter_defect(const ParameterInfo& info) {
  if (!is_name(info.name)) return fmt::format("parameter '{}' is not [a-z][a-z0-9_]*", info.name);
  if (!is_line(info.doc)) return fmt::format("parameter '{}' has no documentation", info.name);
  for (const std::string& choice : info.choices) {
    if (!is_name(choice)) return fmt::format("{}: choice '{}' is no name", info.name, choice);
  }
  if (info.type != "integer" && info.type != "real") return std::nullopt;
  const double given = std::stod(info.default_value);
  if (!(given >= info.range.low && given <= info.range.high)) {
    return fmt::format("the default {} = {} is out of its own range", info.name,
                       info.default_value);
  }
  return std::nullopt;
}

/// The first thing wrong with the declarations of tensors.
class TensorCheck final : public TensorVisitor {
 public:
  std::optional<std::string> defect;

  void declare(TensorDeclaration one) override {
    const auto found = [&](std::string text) {
      if (!defect) defect = fmt::format("tensor '{}' {}", one.name, text);
    };
    if (!is_name(one.name)) found("is not [a-z][a-z0-9_]*");
    if (!names_.insert(one.name).second) found("is declared twice");
    if (!is_line(one.doc)) found("has no documentation");
    if (one.shape.empty()) found("has no extents");
    for (const Extent& extent : one.shape) {
      if (extent.size <= 0) found(fmt::format("has extent {} = {}", extent.name, extent.size));
      if (!is_line(extent.name)) found("has an extent without a name");
    }
    const bool initialised = one.is_integer ? static_cast<bool>(one.initialiser.integers)
                                            : static_cast<bool>(one.initialiser.floats);
    if (!initialised && !one.belongs_to_sequence()) found("has no initialiser");
    if (initialised && one.belongs_to_sequence())
      found("is written by forward and yet initialised");
    if (one.role == Role::choice && !one.is_integer) found("is a float choice");
    if (!one.is_fitted()) return;
    if (one.is_integer || (one.role != Role::learned && one.role != Role::running)) {
      found("is fitted, but no learned or running tensor of floats");
    }
    if (!is_line(one.fitting.how)) found("does not say how it is fitted");
  }

 private:
  std::set<std::string> names_;
};

std::optional<std::string> resolved_defect(const Trial& trial) {
  const auto resolve = [&](const Setting& setting) {
    return resolved_expression(*trial.registration, setting, trial.problem).text();
  };
  const std::string resolved = resolve(trial.setting);
  const std::string twice = resolve(parse_expression(resolved).arguments);
  if (twice != resolved) return fmt::format("{} reads back as {}", resolved, twice);
  return std::nullopt;
}

/// Pairs that the matrix of weights gives any weight to, by the double reference.
double weighted_pairs(const Trial& trial) {
  const Bench bench(trial);
  bench.run();  // for the choices
  const auto weights =
      InDouble(*bench.variant, trial.problem, bench.inputs, bench.tensors).weights();
  return static_cast<double>(
      std::count_if(weights.begin(), weights.end(), [](double weight) { return weight != 0; }));
}

}  // namespace

Verdict declarations(const Trial& trial) {
  const std::unique_ptr<Variant> variant = trial.make();
  if (auto found = info_defect(trial.registration->info)) return Verdict::broken(*found);
  std::set<std::string> names;
  for (const ParameterInfo& info : parameter_infos(parameters_of(*trial.registration->make()))) {
    if (auto found = parameter_defect(info)) return Verdict::broken(*found);
    if (!names.insert(info.name).second) {
      return Verdict::broken(fmt::format("parameter '{}' is declared twice", info.name));
    }
  }
  TensorCheck tensors;
  variant->tensors(trial.problem, tensors);
  if (tensors.defect) return Verdict::broken(*tensors.defect);
  // Throws for an expression that does not parse, or names nothing that is known.
  make_variant(parse_expression(variant->dense_target(trial.problem)), trial.problem);
  return Verdict::unless(resolved_defect(trial));
}

Verdict initialisers(const Trial& trial) {
  const std::unique_ptr<Variant> variant = trial.make();
  const std::initializer_list<Role> drawn = {Role::learned, Role::random, Role::running};
  const BenchTensors first(*variant, trial.problem, trial.seed, 0xff);
  const BenchTensors second(*trial.make(), trial.problem, trial.seed, 0x4b);
  const auto bits = first.bits(drawn);
  if (bits.empty()) return Verdict::skipped("owns no tensors that are drawn");
  if (!first.intact()) return Verdict::broken("an initialiser writes beyond its tensor");
  if (bits != second.bits(drawn)) {
    return Verdict::broken("leaves elements unwritten, or draws other values from the same seed");
  }
  const std::string bad = first.not_finite();
  if (!bad.empty()) return Verdict::broken("tensor '" + bad + "' is drawn with values not finite");
  return Verdict::kept();
}

Verdict refusals(const Trial& trial) {
  const std::unique_ptr<Variant> variant = trial.make();
  const std::string first = refusal_of(*variant, trial.problem);
  if (refusal_of(*variant, trial.problem) != first ||
      refusal_of(*trial.make(), trial.problem) != first) {
    return Verdict::broken("the answer of refuses() changes from call to call");
  }
  if (first.empty()) return Verdict::kept();
  if (!is_line(first) || first.find(' ') == std::string::npos) {
    return Verdict::broken("the reason is not a sentence: '" + first + "'");
  }
  return Verdict::kept();
}

Verdict forward_returns(const Trial& trial) {
  try {
    Bench(trial).run();
  } catch (const std::exception& error) {
    return Verdict::broken(fmt::format("forward throws: {}", error.what()));
  }
  return Verdict::kept();
}

Verdict cost(const Trial& trial) {
  const std::unique_ptr<Variant> variant = trial.make();
  const Problem& problem = trial.problem;
  const Cost cost = variant->cost(problem);
  for (const double figure : {cost.useful.multiply_adds, cost.useful.exponentials, cost.bytes}) {
    if (!std::isfinite(figure) || figure < 0) {
      return Verdict::broken(fmt::format("a figure of cost is {}", figure));
    }
  }
  const double output_bytes = 4.0 * static_cast<double>(problem.queries * problem.value_dim);
  if (cost.bytes < output_bytes) {
    return Verdict::broken(fmt::format("{} compulsory bytes, although the output alone has {}",
                                       cost.bytes, output_bytes));
  }
  const Target target = variant->target(problem);
  const Powers& powers = trial.registration->powers;
  const bool counts_pairs = powers.plan || target == Target::restriction || target == Target::exact;
  if (!counts_pairs || !powers.weights) return Verdict::kept();
  const double counted =
      weighted_pairs(trial) * static_cast<double>(problem.dim + problem.value_dim);
  const double claimed = cost.useful.multiply_adds;
  if (cost.exact ? claimed != counted : claimed < counted) {
    return Verdict::broken(
        fmt::format("useful multiply-adds are {}, {}; the pairs with weight come to {}", claimed,
                    cost.exact ? "said to be exact" : "said to be a bound", counted));
  }
  return Verdict::kept();
}

Verdict executed_work(const Trial& trial) {
  const Bench bench(trial);
  const Cost cost = bench.variant->cost(trial.problem);
  if (!cost.exact) return Verdict::skipped("useful work is only bounded");
  const Work executed = bench.run().executed;
  if (executed.multiply_adds < cost.useful.multiply_adds) {
    return Verdict::broken(fmt::format("{} multiply-adds executed, fewer than the {} useful ones",
                                       executed.multiply_adds, cost.useful.multiply_adds));
  }
  return Verdict::kept();
}

}  // namespace subquad::contract
