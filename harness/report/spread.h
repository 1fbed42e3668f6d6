#pragma once

#include <optional>
#include <vector>

#include "records/record.h"

namespace subquad {

/// A part of a figure's variance as standard deviation.
struct Deviation {
  double value = 0;
  bool negative = false;  ///< the estimate of the variance was, and 0 stands for it
};

/// What makes a variant's figures differ from one measurement to the next. docs/statistics.md has
/// the model. A part that nothing tells is empty.
struct Spread {
  std::size_t seeds = 0;  ///< that ended well
  std::size_t draws = 0;  ///< of random tensors, over all seeds
  /// Of the relative error of one head, mean over heads and over draws.
  double error = 0;
  double squared_error = 0;               ///< mean of its square, likewise
  std::optional<Deviation> method_error;  ///< between draws on one input
  /// Between seeds, which have inputs of their own.
  std::optional<Deviation> input_error;
  /// `input_error` holds the method's part as well: one draw per seed cannot tell them apart.
  bool method_in_input = false;
  /// Parts of the time over the anchor's (of the anchor: of its time), relative to it.
  std::optional<Deviation> timing_time;  ///< between rounds of one seed
  std::optional<Deviation> input_time;   ///< between seeds
};

/// Of the records of one variant's seeds; nothing for one seed without further draws.
std::optional<Spread> spread_of(const std::vector<const Record*>& seeds);

}  // namespace subquad
