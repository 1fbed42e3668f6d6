#include "commands/picture.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "commands/attention_patterns.h"
#include "layers/call_inputs.h"
#include "layers/executor.h"
#include "report/figures.h"
#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr Index kDefaultLength = 48;
/// More would be less than a pixel each.
constexpr Index kMostKeys = 1024;
constexpr Index kMostHeads = 32;

Json matrix_rows(const std::vector<double>& weights, const Problem& problem, bool seen_only) {
  Json rows = Json::array();
  for (Index i = 0; i < problem.queries; ++i) {
    Json row = Json::array();
    for (Index j = 0; j < problem.keys; ++j) {
      const double weight = weights[static_cast<std::size_t>(i * problem.keys + j)];
      if (seen_only) {
        row.push_back(weight != 0 ? 1 : 0);
      } else {
        row.push_back(weight);
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json panels_of_variants(const AttentionPatterns& patterns) {
  Json panels = Json::array();
  for (const AttentionPatterns::Panel& panel : patterns.panels) {
    panels.push_back({{"title", panel.title},
                      {"kind", panel.seen_only ? "keys" : "weights"},
                      {"rows", matrix_rows(panel.weights, patterns.problem, panel.seen_only)}});
  }
  return panels;
}

/// The weights of each head on the first sequence.
Json panels_of_heads(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors) {
  const Problem problem = sequence_problem(layer, input, 0);
  const std::vector<std::string> variants = layer.members();
  Json panels = Json::array();
  for (Index call = 0; call < layer.calls(); ++call) {
    const std::string& variant = variants[static_cast<std::size_t>(call % layer.distinct())];
    const std::string whose =
        layer.scope() == Scope::layer ? "all heads" : fmt::format("head {}", call);
    panels.push_back(
        {{"title", fmt::format("{}: {}", whose, variant)},
         {"kind", "weights"},
         {"rows", matrix_rows(reference_weights(layer, input, tensors, 0, call), problem, false)}});
  }
  return panels;
}

/// A file for the script to read, gone when this is.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(fs::temp_directory_path() / fmt::format("subquad-picture-{}.json", getpid())) {
    std::ofstream file(path_);
    file << text;
    file.close();
    if (!file) throw Error(fmt::format("--picture: cannot write {}", path_.string()));
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

void require_picture_name(const std::string& picture) {
  const std::string kind = fs::path(picture).extension().string();
  if (kind != ".png" && kind != ".svg") {
    throw Error(fmt::format("--picture = {}: the name of a picture ends in .png or .svg", picture));
  }
  const fs::path folder = fs::path(picture).parent_path();
  if (!folder.empty() && !fs::is_directory(folder)) {
    throw Error(fmt::format("--picture = {}: there is no folder {}", picture, folder.string()));
  }
}

/// `colour_bar`: all panels have one scale, which the picture explains.
void draw(const Problem& problem, Json panels, bool colour_bar, const std::string& picture) {
  const Json json = {{"queries", problem.queries}, {"keys", problem.keys},
                     {"causal", problem.causal},   {"first_query", problem.first_query},
                     {"colour_bar", colour_bar},   {"panels", std::move(panels)}};
  const TemporaryFile matrices(json.dump());
  if (const auto failure = draw_matrices(matrices.path(), picture, plots_folder())) {
    throw Error(fmt::format("--picture = {}: {}", picture, *failure));
  }
}

}  // namespace

std::vector<OptionSpec> picture_options(std::vector<OptionSpec> options) {
  const OptionSpec own[] = {
      {"picture", "FILE", "draws which keys each query sees (.png or .svg)"},
      {"length", "N", fmt::format("of the picture: queries and keys (default {})", kDefaultLength)},
      {"causal", "", "of the picture: a query sees only itself and what is before it"},
      {"input", "EXPRESSION",
       fmt::format("of the picture: where Q, K, V come from (default {})", kPatternInput)},
      {"seed", "N", "of the picture: seed of inputs and drawn tensors (default 0)"}};
  options.insert(options.end(), std::begin(own), std::end(own));
  return options;
}

void draw_picture(const Expression& expression, const ParsedOptions& options) {
  const std::string picture = options.require("picture").text;
  require_picture_name(picture);
  const Index length = options.integer("length", kDefaultLength, 1, kMostKeys);
  const auto seed = static_cast<std::uint64_t>(options.integer("seed", 0, 0, Index{1} << 62));
  const std::string source =
      options.has("input") ? options.require("input").text : std::string(kPatternInput);
  const AttentionPatterns patterns = attention_patterns(
      expression,
      {.input = source, .length = length, .causal = options.has("causal"), .seed = seed});
  draw(patterns.problem, panels_of_variants(patterns), false, picture);
  fmt::print("{}: drawn into {}\n", expression.text(), picture);
}

void require_weights_picture(const Layer& layer, const LayerInput& input,
                             const std::string& picture) {
  require_picture_name(picture);
  require_weights(layer);
  const Problem problem = sequence_problem(layer, input, 0);
  if (std::max(problem.queries, problem.keys) > kMostKeys) {
    throw Error(
        fmt::format("--picture: {} queries on {} keys are too many to be seen (at most {} "
                    "of either: --length takes the first of them)",
                    problem.queries, problem.keys, kMostKeys));
  }
  if (layer.calls() > kMostHeads) {
    throw Error(fmt::format("--picture: {} heads are too many for a picture (at most {})",
                            layer.calls(), kMostHeads));
  }
}

void draw_weights(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                  const std::string& picture) {
  draw(sequence_problem(layer, input, 0), panels_of_heads(layer, input, tensors), true, picture);
}

OptionSpec weights_picture_option() {
  return {"picture", "FILE",
          "draws the attention weights of the first sequence's heads (.png or .svg)"};
}

}  // namespace subquad
