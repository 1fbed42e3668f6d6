#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "records/record.h"
#include "report/estimate.h"
#include "report/rounds.h"

namespace subquad {

struct Table;

/// How a figure grows with the number of keys, as the power of it.
struct Exponent {
  double value = 0;
  std::optional<double> margin;  ///< half of its 95 % interval; from three lengths on
  /// The power between the longest length and the longest of at most half of it.
  struct Step {
    Index from = 0, to = 0;
    double value = 0;
  };
  std::optional<Step> last_step;
};

/// From which length on a variant is faster than the anchor, as far as was measured.
struct Crossover {
  enum class State {
    faster,           ///< certainly faster at every length
    slower,           ///< certainly slower at every length
    between,          ///< slower up to one length, faster from another one on
    faster_later,     ///< nowhere certainly slower; faster from one length on
    slower_at_first,  ///< slower up to one length, undecided after it
    slower_at_last,   ///< slower from one length on, but not everywhere
    undecided
  };
  State state = State::undecided;
  std::optional<Index> slower_until;  ///< longest length where it is certainly slower
  std::optional<Index> faster_from;   ///< shortest from which on it is certainly faster, to the end
  std::optional<Index> slower_from;   ///< shortest from which on it is certainly slower, to the end
  std::vector<std::pair<Index, Side>> lengths;  ///< speed-up below or above 1, length by length
};
const char* to_string(Crossover::State state);

/// From (length, side of the speed-up) in increasing order of lengths; not empty.
Crossover crossover_of(std::vector<std::pair<Index, Side>> lengths);

/// The bracket in words: "between 1024 and 2048", "everywhere, from 512".
std::string crossover_text(const Crossover& crossover);

/// Of a positive figure at each of two lengths or more, in increasing order.
Exponent exponent_of(const std::vector<std::pair<Index, double>>& points);

/// One variant over the lengths at which it ended well.
struct Trend {
  const Record* record = nullptr;  ///< of the longest
  std::vector<Index> lengths;
  std::optional<Exponent> time;
  std::optional<Exponent> work;        ///< useful multiply-adds; none if a length takes none
  std::optional<Exponent> memory;      ///< scratch, or a decoder's state; likewise
  std::optional<Exponent> parameters;  ///< learned and random tensors; likewise
  std::optional<Crossover> crossover;  ///< none for the anchor, or without one
  /// Speed-up over the anchor at each of the crossover's lengths, of all seeds' rounds together:
  /// the interval that its verdict stands on.
  std::vector<Estimate> speed_ups;

  /// In its last step the useful work of a forward pass grows with n^kQuadratic at the least: what
  /// n log n stays below at any length, and a constant share of all pairs does not.
  bool is_quadratic() const;
  static constexpr double kQuadratic = 1.95;
};

/// Tables that differ in their length alone.
struct Series {
  const Record* record = nullptr;  ///< any
  std::string anchor;
  std::vector<Index> lengths;
  std::vector<Trend> trends;  ///< in the order of the rows of the longest table
};

/// Tables that differ in their length alone together, by increasing length.
std::vector<std::vector<const Table*>> tables_over_lengths(const std::vector<Table>& tables);

/// What was measured at two lengths or more. Stale figures count only where there are no others.
std::vector<Series> make_scaling(const std::vector<Table>& tables);

}  // namespace subquad
