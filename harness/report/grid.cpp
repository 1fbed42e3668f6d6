#include "report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "report/units.h"
#include "texts/counted.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

/// Enough of a machine's identity to tell a handful of them apart.
constexpr std::size_t kMachineLetters = 8;

/// What is timed, if that is no forward pass of attention alone, and what stands around it.
std::string around_of(const Record& r) {
  std::string text;
  if (r.decodes()) text += "decode, ";
  if (r.is_block()) {
    text += r.feed_forward == 0 ? std::string("block without feed-forward")
                                : fmt::format("block, feed-forward {}", r.feed_forward);
    if (r.feed_forward_chunk != 0) text += fmt::format(" in chunks of {}", r.feed_forward_chunk);
    text += ", ";
  }
  if (!r.model.empty()) text += fmt::format("model {}, layers replaced: {}, ", r.model, r.replaced);
  return text;
}

}  // namespace

std::string shown(std::string_view text) {
  return printable(text, std::numeric_limits<std::size_t>::max());
}

std::string words(Status status) {
  std::string text = to_string(status);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string title_of(const Record& r, const std::vector<Index>& lengths, const Summary& summary) {
  std::string title = fmt::format("{}, n = {}, {}, {}{}", r.input, fmt::join(lengths, " "),
                                  r.problem.causal ? "causal" : "not causal", around_of(r),
                                  counted(static_cast<std::uint64_t>(r.threads), "thread"));
  if (summary.several_machines) {
    title += ", machine " + (r.machine.empty() ? "unknown" : r.machine.substr(0, kMachineLetters));
  }
  return shown(title);
}

std::string shape_of(const Record& r, const std::string& anchor) {
  const Problem& p = r.problem;
  std::string text =
      fmt::format("batch {}, {}", r.batch, counted(static_cast<std::uint64_t>(r.heads), "head"));
  if (r.key_heads != r.heads) text += fmt::format(" over {} of keys", r.key_heads);
  text += fmt::format(", dim {}", p.dim);
  if (p.value_dim != p.dim) text += fmt::format(", value dim {}", p.value_dim);
  if (p.queries != p.keys)
    text += fmt::format(", {} quer{}", p.queries, p.queries == 1 ? "y" : "ies");
  if (p.first_query != 0) text += fmt::format(", first at position {}", p.first_query);
  if (p.scale != 0) text += fmt::format(", scale {}", significant(p.scale));
  text += ", " + r.direction;
  if (r.decodes()) {
    text += " of the last " + counted(static_cast<std::uint64_t>(r.decoded_tokens), "token");
  }
  text += anchor.empty() ? ", no anchor" : ", anchor " + anchor;
  return shown(text);
}

void add_to_group(Grid& grid, const std::string& target, Grid::Line line) {
  const std::string heading = shown(target_heading(target));
  if (grid.groups.empty() || grid.groups.back().heading != heading) {
    grid.groups.push_back({heading, {}});
  }
  grid.groups.back().lines.push_back(std::move(line));
}

std::vector<const Row*> rows_over_lengths(const std::vector<const Table*>& tables,
                                          bool (*wanted)(const Row&)) {
  std::vector<const Row*> rows;
  std::map<std::string, std::size_t> place;  // of a variant: where it appears first
  for (const Table* table : tables) {
    for (const Row& row : table->rows) {
      if (!wanted(row)) continue;
      place.emplace(row.first().variant, place.size());
      rows.push_back(&row);
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const Row* a, const Row* b) {
    return place.at(a->first().variant) < place.at(b->first().variant);
  });
  return rows;
}

Grid grid_over_lengths(const std::vector<const Table*>& tables, const Summary& summary) {
  std::vector<Index> lengths;
  for (const Table* table : tables) lengths.push_back(table->first().problem.keys);
  Grid grid;
  grid.title = title_of(tables.front()->first(), lengths, summary);
  grid.shape = shape_of(tables.front()->first(), tables.front()->anchor);
  return grid;
}

int note_number(std::vector<std::string>& notes, const std::string& text) {
  const auto found = std::find(notes.begin(), notes.end(), text);
  const auto number = static_cast<int>(found - notes.begin()) + 1;
  if (found == notes.end()) notes.push_back(text);
  return number;
}

std::vector<Section> sections(const Summary& summary, Width width) {
  if (summary.tables.empty()) return {};
  if (summary.options.budget) return {budget_section(summary, width)};
  std::vector<Section> all = {table_section(summary, width)};
  if (!summary.scaling.empty()) all.push_back(scaling_section(summary));
  if (Section section = attention_section(summary); !section.grids.empty()) {
    all.push_back(std::move(section));
  }
  std::vector<std::string> further;
  const auto add = [&](Section section, const char* what) {
    if (section.grids.empty()) return;
    further.emplace_back(what);
    if (summary.options.details) all.push_back(std::move(section));
  };
  add(roofline_section(summary), "what is made of the machine");
  add(spread_section(summary), "where the spread over draws and seeds comes from");
  add(head_section(summary), "the error of each head");
  if (!summary.options.details && !further.empty()) {
    all.back().legend.push_back(fmt::format("--details also says {}.", fmt::join(further, "; ")));
  }
  return all;
}

}  // namespace subquad
