#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "expressions/evaluate.h"
#include "reproducing/rule.h"
#include "subquad/view.h"

namespace subquad {

/// What along an exponent is fitted.
enum class Axis { length, dim };

/// Which measured figure a cell is compared with. Panel, row and column each say a part; the
/// column's word counts before the row's, and the row's before the panel's. docs/reproduce.md has
/// the keys.
struct Selector {
  std::optional<std::string> figure;  ///< key of a `MeasuredFigure`
  /// Layer expression in its canonical spelling; "{name}" stands for a variable of row or column.
  std::optional<std::string> variant;
  std::optional<std::string> input;
  std::optional<Index> length, dim, heads, threads;
  std::optional<bool> causal;
  std::optional<std::string> mode;      ///< what is timed: forward, decode or block
  std::optional<Index> feed_forward;    ///< hidden width of a block
  std::optional<std::string> computed;  ///< formula of the figure `computed`
  std::optional<Axis> exponent_in;      ///< the fitted power of the figure instead of the figure
  std::optional<Index> from, to;        ///< bounds of the axis that the power is fitted over

  /// This, with what `inner` says in its place.
  Selector with(const Selector& inner) const;
};

/// A value as it is printed: a number, words ("N log N"), or nothing.
struct PublishedValue {
  std::optional<double> number;
  std::string text;  ///< as shown; empty for nothing
};

/// A reason why cells differ, shown where they do.
struct KnownReason {
  std::vector<std::string> columns;  ///< names; empty: all
  std::string why;
};

struct PublishedColumn {
  std::string name;
  Selector selector;
  Variables variables;
  std::vector<Rule> rules;
};

struct PublishedRow {
  std::string name;
  Selector selector;
  Variables variables;
  std::string mark;        ///< V, S, D or M: how its values were read (docs/reproduce.md)
  std::string unmeasured;  ///< why what was not measured was not; may be empty
  std::vector<PublishedValue> values;  ///< one per column
  std::vector<Rule> rules;
  std::vector<KnownReason> known;
};

/// A grid of cells in one unit.
struct Panel {
  std::string title;
  std::string unit;  ///< of the published values
  Selector selector;
  std::vector<PublishedColumn> columns;
  std::vector<PublishedRow> rows;
  std::vector<Rule> rules;   ///< for every cell
  std::vector<Rule> claims;  ///< judged once
  std::vector<std::string> notes;

  Selector selector_of(std::size_t row, std::size_t column) const;
};

/// An experiment that measures for a table.
struct PublishedRun {
  std::string name;                             ///< and of its folder
  std::string config;                           ///< path
  std::map<std::string, std::string> settings;  ///< in place of the config's
};

/// Where a table was printed.
struct Source {
  std::string paper, place, arxiv;
};

/// One NAME.published.json.
struct PublishedTable {
  std::string name, path, title;
  Source source;
  std::string judged;  ///< in one line
  double minutes = 0;  ///< that `reproduce` takes on two cores, roughly
  std::vector<PublishedRun> runs;
  Variables shape;  ///< that the published values were taken at
  /// Named parts of formulas, in order.
  std::vector<std::pair<std::string, std::string>> parts;
  std::vector<Panel> panels;
  std::vector<std::string> notes;

  /// What formulas of published cells may name: `shape`, `n` where the cell has a length, and what
  /// row and column add.
  Variables formula_variables(const Panel& panel, std::size_t row, std::size_t column) const;
  /// Evaluates a formula of these variables and of parts. Throws Error.
  double value_of(const std::string& formula, Variables variables) const;
};

inline constexpr std::string_view kPublishedEnding = ".published.json";

/// Reads and checks one file. Throws Error naming file, place and key for unknown keys, values of
/// another kind, unknown figures and rules, and lists of the wrong size.
PublishedTable read_published_table(const std::string& path);
/// The same of a file's text; configs are looked for beside `path`, which need not exist.
PublishedTable parse_published_table(std::string_view text, const std::string& path);

/// Names of the tables in a folder, in alphabetical order. Throws Error if it cannot be read.
std::vector<std::string> table_names(const std::string& folder);
/// Throws Error, with the nearest name, if there is none of this name.
PublishedTable find_published_table(const std::string& folder, const std::string& name);

}  // namespace subquad
