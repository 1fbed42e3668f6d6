#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/summary.h"

namespace subquad {

/// A table as text, before a format draws it: nothing is escaped, nothing is padded, and no cell
/// holds a control character.
struct Grid {
  struct Column {
    std::string upper, lower;  ///< two lines of heading; the upper one may be empty
  };
  struct Line {
    std::string name;
    std::string marks;       ///< "*", "!", both or none
    std::vector<int> notes;  ///< 1-based numbers of `notes`
    std::vector<std::string> cells;
  };
  struct Group {
    std::string heading;
    std::vector<Line> lines;
  };

  std::string title;
  std::string shape;
  std::string names = "variant";  ///< heading of the column of names
  std::vector<Column> columns;    ///< without the one of names
  std::vector<Group> groups;
  std::vector<std::string> notes;
  std::vector<std::string> remarks;  ///< lines below the table, before the notes
};

/// Tables on one question, and how to read them.
struct Section {
  std::string heading;  ///< may be empty
  std::vector<Grid> grids;
  std::vector<std::string> legend;
};

/// Sections as plain text within 120 characters, and as Markdown.
std::string text_of(const std::vector<Section>& sections);
std::string markdown_of(const std::vector<Section>& sections);

/// How much a cell may say: `narrow` shortens intervals for tables of 120 characters.
enum class Width { narrow, full };

/// What a report shows, in order, as its options ask for; nothing for no tables.
std::vector<Section> sections(const Summary& summary, Width width);

Section table_section(const Summary& summary, Width width);
Section scaling_section(const Summary& summary);
Section head_section(const Summary& summary);
Section spread_section(const Summary& summary);
Section roofline_section(const Summary& summary);
Section quality_section(const Summary& summary);
Section attention_section(const Summary& summary);
Section budget_section(const Summary& summary, Width width);

/// What sections share.
inline const std::string kNoFigure = "–";
std::string shown(std::string_view text);  ///< whole, and safe to print
std::string words(Status status);
/// "gaussian, n = 512 1024, causal, 2 threads"; names the machine if there are several.
std::string title_of(const Record& record, const std::vector<Index>& lengths,
                     const Summary& summary);
std::string shape_of(const Record& record, const std::string& anchor);
/// Adds the line to the group of its target, which is the last one or new.
void add_to_group(Grid& grid, const std::string& target, Grid::Line line);
/// Rows of tables that differ in their length alone, a variant's lengths together.
std::vector<const Row*> rows_over_lengths(const std::vector<const Table*>& tables,
                                          bool (*wanted)(const Row&));
/// A grid of such tables, with title and shape.
Grid grid_over_lengths(const std::vector<const Table*>& tables, const Summary& summary);
/// Number of the note that says `text`, added if it is new.
int note_number(std::vector<std::string>& notes, const std::string& text);

}  // namespace subquad
