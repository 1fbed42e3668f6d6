#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "comparing/comparison.h"
#include "records/record.h"

namespace subquad {

/// A run as it is stored.
struct StoredRun {
  std::string name;   ///< as the user wrote it
  std::string built;  ///< compiler, flags and instruction set, as far as its folder tells
  std::vector<Record> records;
};

/// Of the program that measured in `folder`, for the machine with this identity; empty if the
/// folder does not tell.
std::string built_text(const std::string& folder, const std::string& machine);

/// With this many runs on each side, what runs differ in by luck is measured, and a test made.
inline constexpr std::size_t kLeastRuns = 3;
/// With fewer it is guessed from how all points differ, and this many are needed for that.
inline constexpr std::size_t kLeastPoints = 8;

/// Compares stored runs of the same points: times over the anchor's of the same round, errors and
/// memory. With `kLeastRuns` on each side the run is the unit of a test; otherwise a time is called
/// different only beyond what `chance_limit` allows and where the ranges of all rounds lie apart,
/// and never the same. docs/compare.md has the reasons.
SideBySide compare_runs(const std::vector<StoredRun>& a, const std::vector<StoredRun>& b,
                        double smallest_effect);

/// What a log-ratio of one point may come to by chance where those of all points are `log_ratios`:
/// their median size, as the scale of a normal distribution around 0, times the quantile that
/// leaves 5 % for all of them together; of Student's distribution, since the scale is an estimate.
/// Nothing for fewer than `kLeastPoints`.
std::optional<double> chance_limit(const std::vector<double>& log_ratios);

}  // namespace subquad
