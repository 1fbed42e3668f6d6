#include "layers/tensor_source.h"

#include <algorithm>
#include <array>

#include "expressions/settings.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

constexpr std::string_view kFitted = "fitted", kLoaded = "loaded", kHeads = "heads";
constexpr std::string_view kOn = "on", kPath = "path";

[[noreturn]] void fail(const Expression& expression, const std::string& what) {
  throw Error(printable(expression.text(), 200) + ": " + what);
}

/// The layer that stands in the parentheses, and the keys beside it.
TensorSource around_one_layer(const Expression& expression, TensorSource::From from) {
  TensorSource source{.from = from, .layer = {}, .arguments = {}};
  for (const Expression::Argument& argument : expression.arguments) {
    if (!argument.key.empty()) {
      source.arguments.push_back(argument);
    } else if (source.layer.name.empty()) {
      source.layer = argument.nested.front();
    } else {
      fail(expression, "takes one layer, and '" + argument.nested.front().name + "' is another");
    }
  }
  const std::string& name = source.layer.name;
  if (name.empty()) fail(expression, "names no layer");
  if (name == kFitted || name == kLoaded) {
    fail(expression, name + "(...) cannot stand inside " + expression.name + "(...)");
  }
  return source;
}

std::vector<std::string> parameters_of_input(const std::string& name) {
  std::vector<std::string> names;
  for (const InputInfo& info : input_infos()) {
    if (info.name != name) continue;
    for (const ParameterInfo& parameter : info.parameters) names.push_back(parameter.name);
  }
  return names;
}

void set(Expression& expression, const Expression::Argument& argument) {
  const auto same =
      std::ranges::find(expression.arguments, argument.key, &Expression::Argument::key);
  if (same != expression.arguments.end()) {
    same->value = argument.value;
  } else {
    expression.arguments.push_back(argument);
  }
}

/// An input, and what is asked of it.
struct Asked {
  Expression input;
  InputRequest request;
};

/// What a generator's windows may have of their own beside its parameters.
void ask(InputRequest& request, const Expression& whole, const Expression::Argument& argument) {
  const double most = argument.key == "seed" ? 0x1p53 : 1e6;
  const double number = evaluate(argument.value, {});
  const double least = argument.key == "seed" ? 0 : 1;
  if (!(number >= least && number <= most && number == static_cast<double>(Index(number)))) {
    fail(whole, argument.key + " = " + printable(argument.value) + " is no whole number from " +
                    std::to_string(Index(least)) + " to " + std::to_string(Index(most)));
  }
  if (argument.key == "seed") {
    request.seed = static_cast<std::uint64_t>(number);
  } else {
    request.first_sequence = request.batch;
    request.batch = static_cast<Index>(number);
  }
}

Asked asked_of(const TensorSource& source, const Expression& input, const InputRequest& request) {
  const Expression whole = source.around(source.layer);
  Asked asked{input, request};
  const auto on = std::ranges::find(source.arguments, kOn, &Expression::Argument::key);
  if (on != source.arguments.end()) asked.input = parse_expression(on->value);
  std::vector<std::string> known = parameters_of_input(asked.input.name);
  const std::vector<std::string> own = known;
  const bool reads_file = std::ranges::find(own, kPath) != own.end();
  if (!reads_file) known.insert(known.end(), {"seed", "batch"});
  if (gives_text(asked.input)) known.emplace_back("batch");
  for (const Expression::Argument& argument : source.arguments) {
    if (argument.key == kOn) continue;
    if (std::ranges::find(known, argument.key) == known.end()) {
      fail(whole, "the input " + printable(asked.input.text(), 200) + " has no parameter '" +
                      printable(argument.key) + "'" + suggestion(argument.key, known));
    }
    if (std::ranges::find(own, argument.key) != own.end()) {
      set(asked.input, argument);
    } else {
      ask(asked.request, whole, argument);
    }
  }
  // Of another seed all sequences are others.
  if (asked.request.seed != request.seed) asked.request.first_sequence = 0;
  return asked;
}

std::string path_of(const TensorSource& source) { return source.arguments.front().value; }

}  // namespace

TensorSource TensorSource::of(const Expression& expression) {
  if (expression.name == kFitted) return around_one_layer(expression, From::windows);
  if (expression.name != kLoaded)
    return {.from = From::initialisers, .layer = expression, .arguments = {}};
  TensorSource source = around_one_layer(expression, From::file);
  if (source.arguments.size() != 1 || source.arguments.front().key != kPath) {
    fail(expression, "takes a layer and path=FILE, and nothing else");
  }
  return source;
}

Expression TensorSource::around(Expression resolved) const {
  if (from == From::initialisers) return resolved;
  Expression whole{std::string(from == From::windows ? kFitted : kLoaded), {}};
  whole.arguments.push_back({{}, {}, {std::move(resolved)}});
  whole.arguments.insert(whole.arguments.end(), arguments.begin(), arguments.end());
  return whole;
}

LayerInput TensorSource::windows(const Expression& input, const InputRequest& request) const {
  const Asked asked = asked_of(*this, input, request);
  return make_input(asked.input, asked.request);
}

TextWindows TensorSource::text_windows(const Expression& input, const InputRequest& request) const {
  const Asked asked = asked_of(*this, input, request);
  return make_text(asked.input, asked.request);
}

std::vector<std::string> TensorSource::files(const Expression& input) const {
  if (from == From::initialisers) return {};
  if (from == From::file) return {path_of(*this)};
  return input_files(asked_of(*this, input, {}).input);
}

bool is_layer_word(std::string_view name) {
  return name == kHeads || name == kFitted || name == kLoaded;
}

std::string family_of(const Expression& expression) {
  if (expression.name != kFitted && expression.name != kLoaded) return expression.name;
  for (const Expression::Argument& argument : expression.arguments) {
    if (argument.key.empty()) return argument.nested.front().name;
  }
  return expression.name;
}

}  // namespace subquad
