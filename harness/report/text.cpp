#include <fmt/format.h>

#include <algorithm>

#include "report/grid.h"
#include "report/render.h"

namespace subquad {
namespace {

constexpr std::size_t kPageWidth = 120;
/// Names longer than this may be given a line of their own so that the table fits the page.
constexpr std::size_t kLeastNameWidth = 16;
constexpr std::size_t kIndent = 2;
/// The indent where marks stand in it.
constexpr std::size_t kMarkedIndent = 3;

/// Columns that `text` takes on a terminal. fmt pads by display width and says so only through the
/// length of what it padded.
std::size_t display_width(const std::string& text) {
  const std::size_t room = text.size() + 1;
  return room - (fmt::formatted_size("{:<{}}", text, room) - text.size());
}

std::string left(const std::string& text, std::size_t width) {
  return fmt::format("{:<{}}", text, width);
}
std::string right(const std::string& text, std::size_t width) {
  return fmt::format("{:>{}}", text, width);
}

std::string name_of(const Grid::Line& line) {
  return line.notes.empty() ? line.name
                            : fmt::format("{} [{}]", line.name, join_numbers(line.notes));
}

struct Widths {
  std::size_t indent = kIndent;
  std::size_t name = 0;
  std::size_t gap = 2;  ///< between columns
  std::vector<std::size_t> cells;
  std::size_t total() const {
    std::size_t sum = indent + name;
    for (const std::size_t width : cells) sum += gap + width;
    return sum;
  }
};

Widths widths_of(const Grid& grid) {
  Widths widths;
  widths.name = grid.names.size();
  for (const Grid::Column& column : grid.columns) {
    widths.cells.push_back(std::max(display_width(column.upper), display_width(column.lower)));
  }
  for (const Grid::Group& group : grid.groups) {
    for (const Grid::Line& line : group.lines) {
      widths.name = std::max(widths.name, display_width(name_of(line)));
      if (!line.marks.empty()) widths.indent = kMarkedIndent;
      for (std::size_t i = 0; i < line.cells.size(); ++i) {
        widths.cells[i] = std::max(widths.cells[i], display_width(line.cells[i]));
      }
    }
  }
  if (widths.total() > kPageWidth) widths.gap = 1;
  if (widths.total() > kPageWidth) {
    const std::size_t excess = widths.total() - kPageWidth;
    const std::size_t least = std::min(widths.name, kLeastNameWidth);
    widths.name = widths.name > least + excess ? widths.name - excess : least;
  }
  return widths;
}

void add_line(std::string& text, const std::string& marks, const std::string& name,
              const std::vector<std::string>& cells, const Widths& widths) {
  std::string line = left(marks, widths.indent);
  if (display_width(name) > widths.name) {
    line += name;
    line += '\n';
    line.append(widths.indent + widths.name, ' ');
  } else {
    line += left(name, widths.name);
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    line.append(widths.gap, ' ');
    line += right(cells[i], widths.cells[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  text += line + "\n";
}

/// Breaks at spaces; words longer than a line stay whole.
void add_wrapped(std::string& text, const std::string& sentence, std::size_t indent) {
  std::size_t column = 0;
  for (std::size_t begin = 0; begin <= sentence.size();) {
    const std::size_t end = std::min(sentence.find(' ', begin), sentence.size());
    const std::string word = sentence.substr(begin, end - begin);
    const std::size_t width = display_width(word);
    if (column > 0 && column + 1 + width > kPageWidth) {
      text += '\n';
      text.append(indent, ' ');
      column = indent;
    } else if (column > 0) {
      text += ' ';
      ++column;
    }
    text += word;
    column += width;
    begin = end + 1;
  }
  text += "\n";
}

void add_lines(std::string& text, const Grid& grid) {
  const Widths widths = widths_of(grid);
  std::vector<std::string> upper, lower;
  for (const Grid::Column& column : grid.columns) {
    upper.push_back(column.upper);
    lower.push_back(column.lower);
  }
  const auto is_empty = [](const std::string& word) { return word.empty(); };
  if (!std::all_of(upper.begin(), upper.end(), is_empty)) add_line(text, "", "", upper, widths);
  add_line(text, "", grid.names, lower, widths);
  for (const Grid::Group& group : grid.groups) {
    if (!group.heading.empty()) add_wrapped(text, group.heading, 0);
    for (const Grid::Line& line : group.lines) {
      add_line(text, line.marks, name_of(line), line.cells, widths);
    }
  }
}

void add_table(std::string& text, const Grid& grid) {
  add_wrapped(text, grid.title, 0);
  if (!grid.shape.empty()) add_wrapped(text, grid.shape, 0);
  text += "\n";
  if (!grid.groups.empty()) add_lines(text, grid);
  for (const std::string& remark : grid.remarks) add_wrapped(text, remark, 4);
  for (std::size_t i = 0; i < grid.notes.size(); ++i) {
    add_wrapped(text, fmt::format("[{}] {}", i + 1, grid.notes[i]), 4);
  }
  text += "\n";
}

}  // namespace

std::string render_text(const Summary& summary) {
  return render_text(summary.notices, sections(summary, Width::narrow));
}

std::string render_text(const std::vector<std::string>& notices,
                        const std::vector<Section>& sections) {
  std::string text;
  for (const std::string& notice : notices) add_wrapped(text, notice, 0);
  if (!notices.empty() && !sections.empty()) text += "\n";
  return text + text_of(sections);
}

std::string text_of(const std::vector<Section>& sections) {
  std::string text;
  for (const Section& section : sections) {
    if (!section.heading.empty()) text += section.heading + "\n\n";
    for (const Grid& grid : section.grids) add_table(text, grid);
    for (const std::string& line : section.legend) add_wrapped(text, line, 2);
    text += "\n";
  }
  if (text.ends_with("\n\n")) text.pop_back();
  return text;
}

}  // namespace subquad
