#include "experiments/points.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "experiments/options.h"
#include "layers/catalogue.h"
#include "layers/tensor_source.h"
#include "records/build_info.h"
#include "records/hash.h"
#include "records/machine.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Options that say where results go or when to give up, not what a point is.
bool defines_a_point(const std::string& option) {
  static const std::set<std::string> kOthers = {"question",   "results",      "figures",
                                                "time-limit", "memory-limit", "plugin"};
  return kOthers.count(option) == 0;
}

bool belongs_to_command(const std::string& option) {
  return defines_a_point(option) || option == "plugin";
}

/// For a shell.
std::string quoted(const std::string& word) {
  const auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("-_./=:+,").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string result = "'";
  for (const char c : word) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + '\'';
}

/// Hash of a file, read once as long as it stays as it is: keys of many points need it.
std::string content_hash(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code code;
  const auto size = fs::file_size(path, code);
  if (code) throw Error(path + ": cannot be read: " + code.message());
  const auto changed = fs::last_write_time(path, code).time_since_epoch().count();
  static std::map<std::string, std::string> known;
  std::string& hash = known[fmt::format("{} {} {}", size, changed, path)];
  if (hash.empty()) hash = hash_file(path);
  return hash;
}

void collect_names(const Expression& expression, std::set<std::string>& names) {
  names.insert(expression.name);
  for (const Expression::Argument& argument : expression.arguments) {
    for (const Expression& nested : argument.nested) collect_names(nested, names);
  }
}

/// Lengths and masks of an experiment on one input, where these are up to its file.
struct OfInput {
  std::vector<Index> lengths;
  std::vector<bool> causal;

  OfInput(const Experiment& experiment, const Expression& input)
      : lengths(experiment.lengths), causal(experiment.causal) {
    const bool whole =
        std::find(lengths.begin(), lengths.end(), Experiment::kWholeLength) != lengths.end();
    if (!whole && !experiment.causal_as_trained) return;
    const std::vector<std::string> files = input_files(input);
    if (files.empty() && whole) {
      throw Error(input.text() +
                  ": length = whole is for files; a generator makes as many keys as "
                  "it is asked for");
    }
    if (files.empty()) return;  // made up: no model, no mask
    const LayerInput file = read_layer_input(files.front());
    std::replace(lengths.begin(), lengths.end(), Experiment::kWholeLength, file.keys);
    if (experiment.causal_as_trained) causal = {file.causal_regime};
  }
};

constexpr const char* kNeedsCausal =
    "mode = decode needs causal = true: a token is decoded from what is before it";

template <class T>
bool holds(const std::vector<T>& list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// Each mode, once for each size of chunks where it has any.
std::vector<std::pair<Mode, Index>> modes_of(const Experiment& experiment) {
  std::vector<std::pair<Mode, Index>> modes;
  for (const Mode mode : experiment.modes) {
    if (mode != Mode::block) {
      modes.emplace_back(mode, 0);
      continue;
    }
    for (const Index chunk : experiment.feed_forward_chunks) modes.emplace_back(mode, chunk);
  }
  return modes;
}

void check_block_options(const Experiment& experiment) {
  const std::tuple<const char*, Index, Index, const char*> options[] = {
      {"queries", experiment.queries, 0, "as many as keys"},
      {"key-heads", experiment.key_heads, experiment.heads, "as many as heads"},
      {"value-dim", experiment.value_dim, experiment.dim, "as wide as keys"}};
  for (const auto& [name, value, same, words] : options) {
    if (value == 0 || value == same) continue;
    throw Error(
        fmt::format("mode = block needs {} = 0, {} ({} = {} is set)", name, words, name, value));
  }
}

/// A block's input is one matrix, whose heads are its columns.
void check_block_input(const Expression& expression, const LayerInput& input) {
  const auto fail = [&](const std::string& what) {
    throw Error(expression.text() + ": mode = block needs " + what);
  };
  if (!input.lengths.empty()) {
    fail("sequences of one length, and these have lengths of their own");
  }
  if (input.queries != input.keys) {
    fail(fmt::format("as many queries as keys, not {} and {}", input.queries, input.keys));
  }
  if (input.key_heads != input.heads) {
    fail(fmt::format("as many key heads as heads, not {} and {}", input.key_heads, input.heads));
  }
  if (input.dim != input.value_dim) {
    fail(fmt::format("values as wide as keys, not {} and {}", input.value_dim, input.dim));
  }
  if (!input.x.empty() && input.x_dim != input.dim) {
    fail(fmt::format("x as wide as keys, not {} and {}", input.x_dim, input.dim));
  }
}

}  // namespace

void check_modes(const Experiment& experiment) {
  if (holds(experiment.modes, Mode::block)) check_block_options(experiment);
  if (!holds(experiment.modes, Mode::decode)) return;
  if (!experiment.causal_as_trained && holds(experiment.causal, false)) throw Error(kNeedsCausal);
  if (experiment.queries != 0) {
    throw Error(
        fmt::format("mode = decode needs queries = 0, as many as keys (queries = {} is set)",
                    experiment.queries));
  }
}

std::string Group::text() const {
  std::string text = fmt::format("{}, n = {}", input.text(), length);
  if (causal) text += ", causal";
  if (mode != Mode::forward) text += fmt::format(", {}", to_string(mode));
  if (feed_forward_chunk != 0) text += fmt::format(" in chunks of {}", feed_forward_chunk);
  if (threads != 1) text += fmt::format(", {} threads", threads);
  if (seed != 0) text += fmt::format(", seed {}", seed);
  return text;
}

std::vector<Group> groups_of(const Experiment& experiment) {
  std::vector<Group> groups;
  for (const Expression& input : experiment.inputs) {
    const OfInput of_input(experiment, input);
    for (const Index length : of_input.lengths) {
      for (const auto& [mode, chunk] : modes_of(experiment)) {
        for (const bool causal : of_input.causal) {
          if (mode == Mode::decode && !causal) throw Error(input.text() + ": " + kNeedsCausal);
          for (const int threads : experiment.threads) {
            for (const std::uint64_t seed : experiment.seeds) {
              groups.push_back({input, length, mode, chunk, causal, threads, seed, {}, {}});
            }
          }
        }
      }
    }
  }
  for (Group& group : groups) {
    std::set<std::string> seen;
    const auto add = [&](const Expression& variant) {
      if (seen.insert(variant.text()).second) group.variants.push_back(variant);
    };
    if (experiment.anchor_max_length == 0 || group.length <= experiment.anchor_max_length) {
      group.anchor = experiment.anchor;
      add(experiment.anchor);
    }
    for (const Expression& variant : experiment.variants) add(variant);
  }
  return groups;
}

Experiment single_point(const Experiment& experiment, const Group& group,
                        const Expression& variant) {
  Experiment single = experiment;
  single.variants = {variant};
  single.inputs = {group.input};
  single.lengths = {group.length};
  single.modes = {group.mode};
  single.feed_forward_chunks = {group.feed_forward_chunk};
  // What is of blocks alone makes no other point another one.
  if (group.mode != Mode::block) single.feed_forward = {};
  single.causal = {group.causal};
  single.causal_as_trained = false;
  single.threads = {group.threads};
  single.seeds = {group.seed};
  // What belongs to the input is taken once, with the first point, which is the anchor if any is.
  const bool first = !group.variants.empty() && variant.text() == group.variants.front().text();
  // A block's attention matrices are of its own projections, not of the input.
  if (!first || group.mode == Mode::block) single.spectrum = 0;
  return single;
}

void require_single(const Experiment& experiment) {
  const std::pair<const char*, std::size_t> lists[] = {
      {"variant", experiment.variants.size()},
      {"input", experiment.inputs.size()},
      {"length", experiment.lengths.size()},
      {"mode", experiment.modes.size()},
      {"feed-forward-chunk", experiment.feed_forward_chunks.size()},
      {"causal", experiment.causal.size()},
      {"threads", experiment.threads.size()},
      {"seed", experiment.seeds.size()}};
  for (const auto& [name, size] : lists) {
    if (size != 1) {
      throw Error(fmt::format("measure: {} has {} values (exactly one is needed)", name, size));
    }
  }
}

InputRequest request_of(const Experiment& single) {
  const Index keys = single.lengths.front();
  return {.batch = single.batch,
          .heads = single.heads,
          .key_heads = single.key_heads != 0 ? single.key_heads : single.heads,
          .queries = single.queries != 0 ? single.queries : keys,
          .keys = keys,
          .dim = single.dim,
          .value_dim = single.value_dim != 0 ? single.value_dim : single.dim,
          .seed = single.seeds.front()};
}

LayerInput make_input_of(const Experiment& single) {
  LayerInput input = make_input(single.inputs.front(), request_of(single));
  if (single.modes.front() == Mode::decode && !input.lengths.empty()) {
    throw Error(
        single.inputs.front().text() +
        ": mode = decode needs sequences of one length, and these have lengths of their own");
  }
  if (single.modes.front() == Mode::block) check_block_input(single.inputs.front(), input);
  return input;
}

Problem problem_of(const Experiment& single, const LayerInput& input) {
  const bool causal = single.causal.front();
  return {.queries = input.queries,
          .keys = input.keys,
          .dim = input.dim,
          .value_dim = input.value_dim,
          .causal = causal,
          .first_query = causal ? std::max<Index>(0, input.keys - input.queries) : 0,
          .scale = single.scale};
}

Index decoded_tokens(const Experiment& single, const Problem& problem) {
  return single.modes.front() == Mode::decode ? std::min(kDecodedTokens, problem.keys) : 0;
}

std::string point_definition(const Experiment& single) {
  std::string text;
  for (const ExperimentOption& option : experiment_options()) {
    if (!defines_a_point(option.spec.name)) continue;
    for (const std::string& value : option.get(single)) {
      text += option.spec.name + " = " + value + "\n";
    }
  }
  const Expression& input = single.inputs.front();
  std::vector<std::string> files = input_files(input);
  std::ranges::move(TensorSource::of(single.variants.front()).files(input),
                    std::back_inserter(files));
  for (const std::string& path : files) {
    text.append("contents = ").append(content_hash(path)).append("\n");
  }
  return text;
}

std::string point_key(const Experiment& single, const std::string& build, bool ended_by_limit) {
  Hash hash;
  hash.text(point_definition(single)).text(build).text(machine_identity());
  if (ended_by_limit) {
    hash.text(fmt::format("{} s, {} bytes", single.time_limit_s, single.memory_limit_bytes));
  }
  return hash.hex();
}

std::vector<std::string> repeat_arguments(const Experiment& single) {
  Experiment otherwise;
  otherwise.anchor = parse_expression("dense");
  std::vector<std::string> arguments;
  for (const ExperimentOption& option : experiment_options()) {
    if (!belongs_to_command(option.spec.name)) continue;
    const std::vector<std::string> values = option.get(single);
    if (values == option.get(otherwise)) continue;
    for (const std::string& value : values) {
      arguments.push_back("--" + option.spec.name);
      arguments.push_back(value);
    }
  }
  return arguments;
}

std::string repeat_command(const Experiment& single) {
  std::string command = "subquad measure";
  for (const std::string& argument : repeat_arguments(single)) {
    command.append(" ").append(quoted(argument));
  }
  return command;
}

std::string build_of(const Expression& variant) {
  std::set<std::string> names, files;
  collect_names(variant, names);
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in" && names.count(std::string(entry.info().name)) > 0) {
      files.insert(entry.origin);
    }
  }
  std::string build = program_build();
  for (const std::string& file : files) build.append("+").append(content_hash(file), 0, 16);
  return build;
}

}  // namespace subquad
