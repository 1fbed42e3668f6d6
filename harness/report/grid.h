#pragma once

#include <string>
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
    std::vector<int> notes;  ///< 1-based numbers of `notes`
    std::vector<std::string> cells;
  };
  struct Group {
    std::string heading;
    std::vector<Line> lines;
  };

  std::string title;
  std::string shape;
  std::vector<Column> columns;  ///< without the one of names
  std::vector<Group> groups;
  std::vector<std::string> notes;
};

/// How much a cell may say: `narrow` shortens intervals for tables of 120 characters.
enum class Width { narrow, full };

Grid make_grid(const Table& table, Width width);

/// Sentences on how to read the tables: what the intervals are, what the columns mean.
std::vector<std::string> legend(const Summary& summary, Width width);

}  // namespace subquad
