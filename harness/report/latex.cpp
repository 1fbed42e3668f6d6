#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "report/grid.h"
#include "report/render.h"

namespace subquad {
namespace {

/// Characters that mean something to LaTeX, and those of our own tables that its default fonts
/// lack.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kEscapes = {{
    {"\\", "\\textbackslash{}"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"|", "\\textbar{}"},
    {"[", "{[}"},  // after \\ it would be read as a length
    {"]", "{]}"},
    {"±", "$\\pm$"},
    {"µ", "$\\mu$"},
    {"–", "--"},
}};

std::string stacked(const Grid::Column& column) {
  if (column.lower.empty()) return latex_escaped(column.upper);
  return fmt::format("\\shortstack{{{}\\\\{}}}", latex_escaped(column.upper),
                     latex_escaped(column.lower));
}

void add_lines(std::string& text, const Grid& grid) {
  const std::size_t columns = grid.columns.size() + 1;
  text += fmt::format("\\begin{{tabular}}{{l{}}}\n\\toprule\n{}",
                      std::string(grid.columns.size(), 'r'), grid.names);
  for (const Grid::Column& column : grid.columns) text += fmt::format(" & {}", stacked(column));
  text += " \\\\\n";
  for (const Grid::Group& group : grid.groups) {
    text += fmt::format("\\midrule\n\\multicolumn{{{}}}{{l}}{{\\emph{{{}}}}} \\\\\n", columns,
                        latex_escaped(group.heading));
    for (const Grid::Line& line : group.lines) {
      text += latex_escaped(line.name);
      if (!line.marks.empty()) text += " " + latex_escaped(line.marks);
      if (!line.notes.empty()) text += fmt::format("$^{{{}}}$", join_numbers(line.notes));
      for (const std::string& cell : line.cells) text += fmt::format(" & {}", latex_escaped(cell));
      text += " \\\\\n";
    }
  }
  text += "\\bottomrule\n\\end{tabular}\n";
}

void add_table(std::string& text, const Grid& grid) {
  text += "\\begin{table}\n\\centering\\small\n";
  text +=
      fmt::format("\\caption{{{}. {}.}}\n", latex_escaped(grid.title), latex_escaped(grid.shape));
  if (!grid.groups.empty()) add_lines(text, grid);
  for (const std::string& remark : grid.remarks) {
    text += fmt::format("\\par\\footnotesize {}\n", latex_escaped(remark));
  }
  for (std::size_t i = 0; i < grid.notes.size(); ++i) {
    text += fmt::format("\\par\\footnotesize $^{{{}}}$ {}\n", i + 1, latex_escaped(grid.notes[i]));
  }
  text += "\\end{table}\n\n";
}

}  // namespace

std::string latex_escaped(const std::string& text) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = std::string_view(text).substr(i);
    bool replaced = false;
    for (const auto& [from, to] : kEscapes) {
      if (!rest.starts_with(from)) continue;
      escaped += to;
      i += from.size();
      replaced = true;
      break;
    }
    if (!replaced) escaped += text[i++];
  }
  return escaped;
}

std::string render_latex(const Summary& summary) {
  std::string text = "% Needs \\usepackage{booktabs}.\n";
  for (const std::string& notice : summary.notices) text += fmt::format("% {}\n", notice);
  for (const Section& section : sections(summary, Width::full)) {
    if (!section.heading.empty()) {
      text += fmt::format("\\paragraph{{{}}}\n\n", latex_escaped(section.heading));
    }
    for (const Grid& grid : section.grids) add_table(text, grid);
    text += "\\begin{itemize}\n";
    for (const std::string& line : section.legend) {
      text += fmt::format("\\item {}\n", latex_escaped(line));
    }
    text += "\\end{itemize}\n\n";
  }
  return text;
}

}  // namespace subquad
