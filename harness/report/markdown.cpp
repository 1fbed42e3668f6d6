#include <fmt/format.h>

#include "report/grid.h"
#include "report/render.h"

namespace subquad {
namespace {

std::string heading_of(const Grid::Column& column) {
  if (column.lower.empty()) return column.upper;
  // "effi-" + "ciency" was only broken to save width.
  if (column.upper.ends_with('-')) {
    return column.upper.substr(0, column.upper.size() - 1) + column.lower;
  }
  return column.upper + " " + column.lower;
}

void add_lines(std::string& text, const Grid& grid) {
  std::string header = fmt::format("| {} |", grid.names), rule = "|:--|";
  for (const Grid::Column& column : grid.columns) {
    header += fmt::format(" {} |", markdown_escaped(heading_of(column)));
    rule += "--:|";
  }
  text += header + "\n" + rule + "\n";
  for (const Grid::Group& group : grid.groups) {
    if (!group.heading.empty()) {
      text += fmt::format("| *{}* |", markdown_escaped(group.heading));
      for (std::size_t i = 0; i < grid.columns.size(); ++i) text += " |";
      text += "\n";
    }
    for (const Grid::Line& line : group.lines) {
      text += fmt::format("| {}", markdown_escaped(line.name));
      if (!line.marks.empty()) text += " " + markdown_escaped(line.marks);
      if (!line.notes.empty()) text += fmt::format(" <sup>{}</sup>", join_numbers(line.notes));
      for (const std::string& cell : line.cells) {
        text += fmt::format(" | {}", markdown_escaped(cell));
      }
      text += " |\n";
    }
  }
  text += "\n";
}

void add_table(std::string& text, const Grid& grid) {
  text +=
      fmt::format("### {}\n\n{}\n\n", markdown_escaped(grid.title), markdown_escaped(grid.shape));
  if (!grid.groups.empty()) add_lines(text, grid);
  for (const std::string& remark : grid.remarks) text += markdown_escaped(remark) + "\n\n";
  for (std::size_t i = 0; i < grid.notes.size(); ++i) {
    text += fmt::format("<sup>{}</sup> {}\n\n", i + 1, markdown_escaped(grid.notes[i]));
  }
}

}  // namespace

std::string markdown_escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      default:
        if (std::string_view("\\`*_[]|#~$").find(c) != std::string_view::npos) escaped += '\\';
        escaped += c;
    }
  }
  return escaped;
}

std::string render_markdown(const Summary& summary) {
  std::string text;
  for (const std::string& notice : summary.notices) text += markdown_escaped(notice) + "\n\n";
  return text + markdown_of(sections(summary, Width::full));
}

std::string markdown_of(const std::vector<Section>& sections) {
  std::string text;
  for (const Section& section : sections) {
    if (!section.heading.empty()) text += "## " + markdown_escaped(section.heading) + "\n\n";
    for (const Grid& grid : section.grids) add_table(text, grid);
    for (const std::string& line : section.legend) {
      text += fmt::format("- {}\n", markdown_escaped(line));
    }
    text += "\n";
  }
  if (text.ends_with("\n\n")) text.pop_back();
  return text;
}

}  // namespace subquad
