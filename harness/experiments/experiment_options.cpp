#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>

#include "experiments/options.h"
#include "expressions/parse_limits.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using Values = std::vector<OptionValue>;
using Strings = std::vector<std::string>;

/// Elements of a list, of which there must be one at least.
Values split_list(const std::string& option, const Values& values) {
  Values parts = split_values(values, true);
  if (parts.empty()) throw Error(values.back().where + ": " + option + " lists no value");
  return parts;
}

std::vector<Expression> to_expressions(const Values& values) {
  std::vector<Expression> all;
  double bytes = 0;
  for (const OptionValue& value : split_values(values, false)) {
    try {
      const Expression expression = parse_expression(value.text);
      std::vector<Expression> expanded = expand_sweeps(expression);
      std::ranges::move(expanded, std::back_inserter(all));
      bytes += sweep_size(expression).bytes;
    } catch (const Error& error) {
      throw Error(value.where + ": " + error.what());
    }
    // Each sweep is within these limits, but there may be many.
    if (all.size() > kMaxSweepSize || bytes > kMaxSweepBytes) {
      throw Error(fmt::format("{}: more than {} expressions, or very long ones", value.where,
                              kMaxSweepSize));
    }
  }
  return all;
}

Strings texts(const std::vector<Expression>& expressions) {
  Strings all;
  for (const Expression& expression : expressions) all.push_back(expression.text());
  return all;
}

constexpr Index kMany = Index{1} << 40;

template <class Member>
ExperimentOption integer(OptionSpec spec, Member Experiment::*member, Index low, Index high) {
  const std::string name = spec.name;
  return {std::move(spec),
          [=](Experiment& experiment, const Values& values) {
            experiment.*member = static_cast<Member>(to_integer(name, values.back(), low, high));
          },
          [=](const Experiment& experiment) -> Strings {
            return {std::to_string(experiment.*member)};
          }};
}

ExperimentOption real(OptionSpec spec, double Experiment::*member, double low, double high) {
  const std::string name = spec.name;
  return {std::move(spec),
          [=](Experiment& experiment, const Values& values) {
            experiment.*member = to_real(name, values.back(), low, high);
          },
          [=](const Experiment& experiment) -> Strings {
            return {fmt::format("{}", experiment.*member)};
          }};
}

ExperimentOption text(OptionSpec spec, std::string Experiment::*member) {
  return {std::move(spec),
          [=](Experiment& experiment, const Values& values) {
            experiment.*member = values.back().text;
          },
          [=](const Experiment& experiment) -> Strings {
            return experiment.*member == "" ? Strings{} : Strings{experiment.*member};
          }};
}

template <class Element>
ExperimentOption integers(OptionSpec spec, std::vector<Element> Experiment::*member, Index low,
                          Index high) {
  const std::string name = spec.name;
  spec.repeats = true;
  return {
      std::move(spec),
      [=](Experiment& experiment, const Values& values) {
        (experiment.*member).clear();
        for (const OptionValue& value : split_list(name, values)) {
          (experiment.*member).push_back(static_cast<Element>(to_integer(name, value, low, high)));
        }
      },
      [=](const Experiment& experiment) -> Strings {
        return {fmt::format("{}", fmt::join(experiment.*member, " "))};
      }};
}

ExperimentOption expressions(OptionSpec spec, std::vector<Expression> Experiment::*member) {
  spec.repeats = true;
  return {std::move(spec),
          [=](Experiment& experiment, const Values& values) {
            experiment.*member = to_expressions(values);
          },
          [=](const Experiment& experiment) { return texts(experiment.*member); }};
}

void set_anchor(Experiment& experiment, const Values& values) {
  const std::vector<Expression> anchors = to_expressions({values.back()});
  if (anchors.size() != 1) {
    throw Error(values.back().where + ": anchor = " + values.back().text +
                " is not one layer expression");
  }
  experiment.anchor = anchors.front();
}

constexpr Mode kModes[] = {Mode::forward, Mode::decode, Mode::block};
constexpr std::string_view kWhole = "whole", kTrained = "trained";

void set_lengths(Experiment& experiment, const Values& values) {
  experiment.lengths.clear();
  for (const OptionValue& value : split_list("length", values)) {
    experiment.lengths.push_back(value.text == kWhole ? Experiment::kWholeLength
                                                      : to_integer("length", value, 1, kMany));
  }
}

Strings get_lengths(const Experiment& experiment) {
  Strings words;
  for (const Index length : experiment.lengths) {
    words.push_back(length == Experiment::kWholeLength ? std::string(kWhole)
                                                       : std::to_string(length));
  }
  return {fmt::format("{}", fmt::join(words, " "))};
}

void set_modes(Experiment& experiment, const Values& values) {
  experiment.modes.clear();
  for (const OptionValue& value : split_list("mode", values)) {
    const auto found = std::find_if(std::begin(kModes), std::end(kModes),
                                    [&](Mode mode) { return value.text == to_string(mode); });
    if (found == std::end(kModes)) {
      throw Error(fmt::format("{}: mode = {} is none of {}, {} and {}", value.where, value.text,
                              to_string(kModes[0]), to_string(kModes[1]), to_string(kModes[2])));
    }
    experiment.modes.push_back(*found);
  }
}

Strings get_modes(const Experiment& experiment) {
  Strings words;
  for (const Mode mode : experiment.modes) words.push_back(to_string(mode));
  return {fmt::format("{}", fmt::join(words, " "))};
}

constexpr Index kMostFeedForward = 1 << 20;
constexpr std::string_view kWidths = "x";

/// "2048", or "4x" for so many widths.
void set_feed_forward(Experiment& experiment, const Values& values) {
  OptionValue value = values.back();
  const bool in_widths = value.text.size() > 1 && value.text.ends_with(kWidths);
  if (in_widths) value.text.pop_back();
  experiment.feed_forward = {
      to_integer("feed-forward", value, 0, in_widths ? 1024 : kMostFeedForward), in_widths};
}

Strings get_feed_forward(const Experiment& experiment) {
  const FeedForward& width = experiment.feed_forward;
  return {fmt::format("{}{}", width.number, width.in_widths ? kWidths : "")};
}

void set_causal(Experiment& experiment, const Values& values) {
  experiment.causal.clear();
  const Values words = split_list("causal", values);
  experiment.causal_as_trained = words.size() == 1 && words.front().text == kTrained;
  if (experiment.causal_as_trained) {
    experiment.causal = {false};
    return;
  }
  for (const OptionValue& value : words) {
    experiment.causal.push_back(to_switch("causal", value));
  }
}

Strings get_causal(const Experiment& experiment) {
  if (experiment.causal_as_trained) return {std::string(kTrained)};
  Strings words;
  for (const bool causal : experiment.causal) words.push_back(causal ? "true" : "false");
  return {fmt::format("{}", fmt::join(words, " "))};
}

void set_figures(Experiment& experiment, const Values& values) {
  experiment.figures = to_switch("figures", values.back());
}

void set_plugins(Experiment& experiment, const Values& values) {
  experiment.plugins.clear();
  for (const OptionValue& value : values) experiment.plugins.push_back(value.text);
}

void set_memory_limit(Experiment& experiment, const Values& values) {
  experiment.memory_limit_bytes = to_bytes("memory-limit", values.back());
}

Strings get_memory_limit(const Experiment& experiment) {
  return {std::to_string(experiment.memory_limit_bytes)};
}

std::vector<ExperimentOption> make_options() {
  using E = Experiment;
  return {
      text({"question", "TEXT", "what the experiment asks; printed above its report"},
           &E::question),
      expressions({"variant", "EXPRESSION", "layer expression; repeats; a|b|c sweeps a value"},
                  &E::variants),
      expressions({"input", "EXPRESSION", "where Q, K, V come from; repeats"}, &E::inputs),
      {{"length", "N...",
        "numbers of keys, and of queries unless --queries is given; whole: what a file holds",
        true},
       set_lengths,
       get_lengths},
      {{"mode", "forward|decode|block...",
        "what is timed: a forward pass over the whole; the last tokens of a causal sequence one by "
        "one, after a prompt of all that come before; or a transformer block around the attention",
        true},
       set_modes,
       get_modes},
      {{"feed-forward", "N|Nx",
        "width of the hidden layer of a block, or how many times that of the block (0: none)"},
       set_feed_forward,
       get_feed_forward},
      integers({"feed-forward-chunk", "N...",
                "rows that the feed-forward layer of a block takes at a time (0: all)"},
               &E::feed_forward_chunks, 0, kMany),
      integer({"queries", "N", "queries, the last positions where causal (0: as many as keys)"},
              &E::queries, 0, kMany),
      {{"causal", "BOOL...",
        "whether a query sees only itself and what is before it; trained: as a file says of its "
        "model",
        true},
       set_causal,
       get_causal},
      integer({"batch", "N", "sequences that a generator makes"}, &E::batch, 1, 1 << 20),
      integer({"heads", "N", "query heads that a generator makes"}, &E::heads, 1, 1 << 20),
      integer({"key-heads", "N", "key heads that a generator makes (0: as heads)"}, &E::key_heads,
              0, 1 << 20),
      integer({"dim", "N", "width of queries and keys that a generator makes"}, &E::dim, 1,
              1 << 16),
      integer({"value-dim", "N", "width of values that a generator makes (0: as dim)"},
              &E::value_dim, 0, 1 << 16),
      real({"scale", "X", "factor of the scores (0: 1 / sqrt(dim))"}, &E::scale, -1e6, 1e6),
      integers({"seed", "N...", "seeds of inputs and of a variant's random tensors"}, &E::seeds, 0,
               std::numeric_limits<Index>::max()),
      integers({"threads", "N...", "threads that a forward pass may use"}, &E::threads, 1, 4096),
      {{"anchor", "EXPRESSION", "what speed-ups are over"},
       set_anchor,
       [](const Experiment& experiment) -> Strings { return {experiment.anchor.text()}; }},
      integer({"anchor-max-length", "N", "no anchor beyond this many keys (0: always)"},
              &E::anchor_max_length, 0, kMany),
      integer(
          {"rounds", "N", "timing passes over all points of a group (0: errors and memory only)"},
          &E::rounds, 0, 1000),
      integer({"draws", "N", "draws of a variant's random tensors, over which errors are taken"},
              &E::draws, 1, 1 << 20),
      {{"pin", "BOOL", "bind the threads of each point to processors"},
       [](Experiment& experiment, const Values& values) {
         experiment.pin = to_switch("pin", values.back());
       },
       [](const Experiment& experiment) -> Strings { return {experiment.pin ? "true" : "false"}; }},
      real({"min-time", "SECONDS", "of one timing pass"}, &E::min_time_s, 0, 60),
      integer({"reference-rows", "N", "query rows per head that errors are taken over, at most"},
              &E::reference_rows, 1, kMany),
      integer({"spectrum", "N",
               "query rows per head whose exact attention's singular values are taken, at most (0: "
               "none)"},
              &E::spectrum, 0, E::kMostSpectrumRows),
      real({"time-limit", "SECONDS", "of one point"}, &E::time_limit_s, 0.1, 1e6),
      {{"memory-limit", "BYTES", "of one point, as 8GiB (0: three quarters of what is free)"},
       set_memory_limit,
       get_memory_limit},
      {{"plugin", "FILE", "shared library of further variants; repeats", true},
       set_plugins,
       [](const Experiment& experiment) { return experiment.plugins; }},
      text({"results", "FOLDER", "where the folder of the run goes"}, &E::results),
      {{"figures", "BOOL", "draw figures when the run is done"},
       set_figures,
       [](const Experiment& experiment) -> Strings {
         return {experiment.figures ? "true" : "false"};
       }},
  };
}

}  // namespace

const char* to_string(Mode mode) {
  switch (mode) {
    case Mode::forward:
      return "forward";
    case Mode::decode:
      return "decode";
    case Mode::block:
      return "block";
  }
  throw std::logic_error("a mode without a name");
}

const std::vector<ExperimentOption>& experiment_options() {
  static const std::vector<ExperimentOption> options = make_options();
  return options;
}

std::vector<OptionSpec> experiment_option_specs() {
  std::vector<OptionSpec> specs;
  for (const ExperimentOption& option : experiment_options()) specs.push_back(option.spec);
  return specs;
}

std::string Experiment::resolved_config() const {
  std::string config;
  for (const ExperimentOption& option : experiment_options()) {
    for (const std::string& value : option.get(*this)) {
      config += option.spec.name + " = " + value + "\n";
    }
  }
  return config;
}

void apply_settings(Experiment& experiment, const Settings& settings) {
  for (const ExperimentOption& option : experiment_options()) {
    const auto given = settings.find(option.spec.name);
    if (given != settings.end()) option.set(experiment, given->second);
  }
}

}  // namespace subquad
