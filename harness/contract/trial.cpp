#include "contract/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "expressions/settings.h"
#include "subquad/error.h"

namespace subquad::contract {
namespace {

// Of one problem. Enough for all combinations of five switches with a few numbers.
constexpr std::size_t kMaxSweep = 64;
constexpr std::size_t kMaxCombinations = 32;

/// Values to try for one parameter, its default first.
struct Candidates {
  std::string key;
  std::vector<std::string> values;
  bool numeric = false;
};

std::vector<std::string> numbers_to_try(const ParameterInfo& info) {
  const double given = std::stod(info.default_value);
  const bool whole = info.type == "integer";
  std::vector<double> numbers = {given};
  const auto add = [&](double value) {
    if (!std::isfinite(value) || value < info.range.low || value > info.range.high) return;
    if (std::find(numbers.begin(), numbers.end(), value) == numbers.end()) numbers.push_back(value);
  };
  if (whole) {
    for (const double value : {1.0, 2.0, 4.0, 7.0, 16.0, 64.0}) add(value);
    add(info.range.low);
    add(info.range.low + 1);
    add(info.range.high <= 1024 ? info.range.high : given);
  } else {
    for (const double value : {given * 2, given / 2, 1.0, info.range.low, info.range.high}) {
      add(value);
    }
  }
  std::vector<std::string> texts;
  for (const double value : numbers) texts.push_back(fmt::format("{}", value));
  texts.front() = info.default_value;
  return texts;
}

void add_sums(const std::vector<std::string>& names, std::vector<std::string>& values) {
  const auto add = [&](const std::string& sum) {
    if (std::find(values.begin(), values.end(), sum) == values.end()) values.push_back(sum);
  };
  for (std::size_t i = 1; i < names.size(); ++i) add(names[i - 1] + "+" + names[i]);
  add(fmt::format("{}", fmt::join(names, "+")));
}

std::vector<Candidates> candidates_of(const Registration& registration, const Setting& fixed) {
  const std::unique_ptr<Variant> variant = registration.make();
  std::vector<Candidates> all;
  for (const ParameterInfo& info : parameter_infos(parameters_of(*variant))) {
    const bool held = std::any_of(fixed.begin(), fixed.end(), [&](const Expression::Argument& one) {
      return one.key == info.name;
    });
    if (held) continue;
    Candidates one{info.name, {info.default_value}, info.type == "integer" || info.type == "real"};
    if (one.numeric) {
      one.values = numbers_to_try(info);
    } else {
      const std::vector<std::string> names =
          info.type == "boolean" ? std::vector<std::string>{"false", "true"} : info.choices;
      for (const std::string& name : names) {
        if (name != info.default_value) one.values.push_back(name);
      }
      // Beside each by itself, neighbours and all together.
      if (info.type == "some") add_sums(names, one.values);
    }
    all.push_back(std::move(one));
  }
  return all;
}

Setting with(const Setting& setting, const std::string& key, const std::string& value) {
  return merged(setting, {{key, value, {}}});
}

class TrialMaker {
 public:
  TrialMaker(const Registration& registration, const ContractOptions& options)
      : registration_(registration),
        options_(options),
        candidates_(candidates_of(registration, options.fixed)) {}

  void add(Group group, const Problem& problem, bool default_only = false) {
    std::vector<Setting> settings = {options_.fixed};
    if (!default_only) {
      for (const Candidates& one : candidates_) {
        if (one.numeric) continue;
        for (std::size_t i = 1; i < one.values.size(); ++i) {
          settings.push_back(with(options_.fixed, one.key, one.values[i]));
        }
      }
    }
    bool any = false;
    for (const Setting& setting : settings) {
      if (const std::optional<Setting> accepted = accepted_near(problem, setting)) {
        push(group, problem, *accepted);
        any = true;
      }
    }
    if (!any) trials_.refused.push_back(trial(group, problem, options_.fixed));
  }

  void add_sweep(const Problem& problem) {
    std::vector<Setting> settings;
    for (const Setting& switches : combinations()) {
      const std::optional<Setting> base = accepted_near(problem, switches);
      if (!base) continue;
      settings.push_back(*base);
      for (const Candidates& one : candidates_) {
        if (!one.numeric) continue;
        for (const std::string& value : one.values) {
          const Setting setting = with(*base, one.key, value);
          if (accepts(problem, setting)) settings.push_back(setting);
        }
      }
    }
    // Evenly spaced, so that every combination of switches keeps some of its numbers.
    const double step = std::max(1.0, static_cast<double>(settings.size()) / kMaxSweep);
    for (double i = 0; i < static_cast<double>(settings.size()); i += step) {
      push(Group::sweep, problem, settings[static_cast<std::size_t>(i)]);
    }
  }

  Trials take() { return std::move(trials_); }

 private:
  Trial trial(Group group, const Problem& problem, const Setting& setting) const {
    return {&registration_, group, problem, setting, options_.seed};
  }

  bool accepts(const Problem& problem, const Setting& setting) const {
    try {
      return refusal_of(*trial(Group::round, problem, setting).make(), problem).empty();
    } catch (const Error&) {
      return false;  // a default out of its own range, say, which `declarations` reports
    }
  }

  /// `setting`, or with one or two numbers changed, so that the problem is not refused.
  std::optional<Setting> accepted_near(const Problem& problem, const Setting& setting) const {
    if (accepts(problem, setting)) return setting;
    for (int changes = 1; changes <= 2; ++changes) {
      if (auto found = accepted_after(problem, setting, changes, 0)) return found;
    }
    return std::nullopt;
  }

  std::optional<Setting> accepted_after(const Problem& problem, const Setting& setting, int changes,
                                        std::size_t first) const {
    for (std::size_t i = first; i < candidates_.size(); ++i) {
      if (!candidates_[i].numeric) continue;
      for (const std::string& value : candidates_[i].values) {
        const Setting changed = with(setting, candidates_[i].key, value);
        if (changes == 1 && accepts(problem, changed)) return changed;
        if (changes > 1) {
          if (auto found = accepted_after(problem, changed, changes - 1, i + 1)) return found;
        }
      }
    }
    return std::nullopt;
  }

  /// Products of all choices and switches, cut off at kMaxCombinations.
  std::vector<Setting> combinations() const {
    std::vector<Setting> all = {options_.fixed};
    for (const Candidates& one : candidates_) {
      if (one.numeric) continue;
      const std::size_t count = all.size();
      for (std::size_t i = 1; i < one.values.size(); ++i) {
        for (std::size_t j = 0; j < count && all.size() < kMaxCombinations; ++j) {
          all.push_back(with(all[j], one.key, one.values[i]));
        }
      }
    }
    return all;
  }

  void push(Group group, const Problem& problem, const Setting& setting) {
    Trial one = trial(group, problem, setting);
    const std::string text = one.text();
    const bool known = std::any_of(
        trials_.accepted.begin(), trials_.accepted.end(),
        [&](const Trial& other) { return other.group == group && other.text() == text; });
    if (!known) trials_.accepted.push_back(std::move(one));
  }

  const Registration& registration_;
  const ContractOptions& options_;
  std::vector<Candidates> candidates_;
  Trials trials_;
};

Problem self_attention(Index length, bool causal, Index dim = 16, Index value_dim = 16) {
  return {length, length, dim, value_dim, causal};
}

}  // namespace

Setting merged(Setting setting, const Setting& more) {
  for (const Expression::Argument& argument : more) {
    const auto same = std::find_if(setting.begin(), setting.end(),
                                   [&](const auto& one) { return one.key == argument.key; });
    if (same != setting.end()) {
      same->value = argument.value;
    } else {
      setting.push_back(argument);
    }
  }
  return setting;
}

std::unique_ptr<Variant> Trial::make() const {
  return make_variant(*registration, setting, problem);
}

std::string Trial::text() const {
  const Expression expression{std::string(registration->info.name), setting};
  std::string text = fmt::format("{} on {} x {} (queries x keys), dim {}, value_dim {}{}",
                                 expression.text(), problem.queries, problem.keys, problem.dim,
                                 problem.value_dim, problem.causal ? ", causal" : "");
  if (problem.first_query != 0) text += fmt::format(", first_query {}", problem.first_query);
  if (problem.scale != 0) text += fmt::format(", scale {}", problem.scale);
  return text;
}

Trials make_trials(const Registration& registration, const ContractOptions& options) {
  TrialMaker maker(registration, options);
  for (const bool causal : {false, true}) {
    maker.add(Group::round, self_attention(64, causal));
    maker.add(Group::round, self_attention(128, causal));
    for (const Index length : {1, 2, 17, 61, 131}) {
      maker.add(Group::odd, self_attention(length, causal));
    }
    maker.add(Group::large, self_attention(389, causal), true);
    maker.add(Group::widths, self_attention(64, causal, 24, 10));
    maker.add(Group::widths, self_attention(64, causal, 3, 33), true);
    for (const Index width : {1, 7}) {
      maker.add(Group::widths, self_attention(64, causal, width, width), true);
    }
    Problem scaled = self_attention(64, causal);
    scaled.scale = 0.6;
    maker.add(Group::scaled, scaled);
  }
  maker.add(Group::cross, {16, 64, 16, 16});
  maker.add(Group::cross, {64, 16, 16, 16});
  maker.add(Group::cross, {16, 64, 16, 16, false, 20});
  maker.add(Group::late, {1, 64, 16, 16, true, 63});
  maker.add(Group::late, {8, 64, 16, 16, true, 56});
  maker.add(Group::late, {16, 64, 16, 16, true, 20});
  maker.add(Group::mixed, {17, 61, 16, 16});
  maker.add(Group::mixed, {131, 61, 5, 12});
  maker.add(Group::mixed, {1, 61, 8, 8});
  maker.add(Group::mixed, {3, 61, 7, 24, true, 41});
  maker.add(Group::mixed, {1, 17, 12, 12, true, 16});
  for (const bool causal : {false, true}) maker.add_sweep(self_attention(64, causal, 8, 8));
  return maker.take();
}

}  // namespace subquad::contract
