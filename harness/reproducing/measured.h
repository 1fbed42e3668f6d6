#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/summary.h"
#include "reproducing/published.h"

namespace subquad {

/// A figure that a cell can be compared with. Statistics are the report's own.
struct MeasuredFigure {
  const char* key;
  const char* unit;    ///< as shown
  double unit_size;    ///< of the unit, in base units
  bool dimensionless;  ///< may be held against a published number as it is
  bool timed;
  const char* doc;
  /// In base units; nothing where it was not taken.
  std::optional<double> (*of)(const Row& row);
};
const std::vector<MeasuredFigure>& measured_figures();
/// Throws Error with the nearest name for an unknown key.
const MeasuredFigure& find_measured_figure(const std::string& key);

/// The figure that stands for the value of a cell's own formula, in place of a measured one.
inline constexpr const char* kComputed = "computed";
/// The figure of cells that only hold what was printed, which nothing is measured for.
inline constexpr const char* kPrinted = "printed";

/// The rows of a summary, by what cells ask for.
class Measurements {
 public:
  /// `summary` must outlive it.
  explicit Measurements(const Summary& summary);

  /// The one row that the selector means, or null; Error if there are several.
  const Row* find(const Selector& selector) const;
  /// Position on the axis and row, by increasing position, of rows that ended well.
  std::vector<std::pair<Index, const Row*>> along(Axis axis, const Selector& selector) const;

 private:
  std::vector<const Row*> rows_;
};

/// What a cell is compared with, unless it is computed: the figure, or its power along an axis.
/// Nothing where points are missing or did not end well.
std::optional<double> measured_value(const Measurements& measured, const Selector& selector);

/// Variables of formulas of our own: those of the record's problem, `batch`, `heads`, `key_heads`,
/// `threads` and `feed_forward`.
Variables variables_of_record(const Record& record);

/// Value of a cell's formula over the variables of formulas of printed cells; nothing where it has
/// none or nothing was printed. Throws Error.
std::optional<double> computed_value(const PublishedTable& table, const Panel& panel,
                                     std::size_t row, std::size_t column);

}  // namespace subquad
