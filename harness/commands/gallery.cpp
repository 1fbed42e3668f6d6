#include "commands/gallery.h"

#include <algorithm>
#include <map>
#include <utility>

#include "commands/attention_patterns.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

/// Longer problems are drawn at this length: a matrix of references takes its square.
constexpr Index kMostKeys = 512;
constexpr Index kMostCells = 128;
/// More would make the page heavy.
constexpr std::size_t kMostPanels = 48;

struct Wanted {
  std::string variant;
  bool causal = false;
  Index length = 0;  ///< the shortest that was recorded
};

/// Variants that leave out keys, in the order of the tables.
std::vector<Wanted> wanted_of(const Summary& summary) {
  std::vector<Wanted> wanted;
  std::map<std::pair<std::string, bool>, std::size_t> place;
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) {
      const Record& r = row.first();
      if (r.target != "restriction" && r.target != "oracle" && r.target != "control") continue;
      const Wanted one{r.variant, r.problem.causal, std::min(r.problem.keys, kMostKeys)};
      const auto [found, is_new] = place.emplace(std::pair(one.variant, one.causal), wanted.size());
      if (is_new) {
        wanted.push_back(one);
      } else {
        Index& length = wanted[found->second].length;
        length = std::min(length, one.length);
      }
    }
  }
  return wanted;
}

Json panel_json(const Wanted& wanted, const AttentionPatterns::Panel& panel, Index length) {
  const Index width = (length + kMostCells - 1) / kMostCells;  // of a cell, in queries or keys
  const Index cells = (length + width - 1) / width;
  std::string shares;
  for (Index row = 0; row < cells; ++row) {
    for (Index column = 0; column < cells; ++column) {
      Index seen = 0, pairs = 0;
      for (Index i = row * width; i < std::min(length, (row + 1) * width); ++i) {
        for (Index j = column * width; j < std::min(length, (column + 1) * width); ++j) {
          seen += panel.weights[static_cast<std::size_t>(i * length + j)] != 0 ? 1 : 0;
          ++pairs;
        }
      }
      shares += "0123456789abcdef"[(15 * seen + pairs - 1) / pairs];
    }
  }
  return {{"variant", wanted.variant}, {"title", panel.title}, {"causal", wanted.causal},
          {"length", length},          {"cells", cells},       {"shares", std::move(shares)}};
}

/// Adds the patterns of one layer expression; throws Error for what cannot be drawn.
void add_panels(const Wanted& wanted, Json& panels) {
  const Expression expression = parse_expression(wanted.variant);
  if (TensorSource::of(expression).from != TensorSource::From::initialisers) {
    throw Error("its tensors come from windows or a file, which a report does not read");
  }
  const AttentionPatterns patterns =
      attention_patterns(expression, {.length = wanted.length, .causal = wanted.causal});
  for (const AttentionPatterns::Panel& panel : patterns.panels) {
    if (panel.seen_only) panels.push_back(panel_json(wanted, panel, patterns.problem.keys));
  }
}

}  // namespace

Json pattern_gallery(const Summary& summary) {
  Json panels = Json::array(), left_out = Json::array();
  for (const Wanted& wanted : wanted_of(summary)) {
    std::string reason;
    if (panels.size() >= kMostPanels) {
      reason = "there are more patterns than a page holds";
    } else {
      try {
        add_panels(wanted, panels);
      } catch (const std::exception& error) {
        reason = error.what();  // a plugin may throw anything
      }
    }
    if (!reason.empty()) left_out.push_back({{"variant", wanted.variant}, {"reason", reason}});
  }
  return {
      {"input", kPatternInput}, {"panels", std::move(panels)}, {"left_out", std::move(left_out)}};
}

}  // namespace subquad
