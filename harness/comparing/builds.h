#pragma once

#include <array>
#include <string>
#include <vector>

#include "comparing/comparison.h"
#include "experiments/experiment.h"
#include "running/progress.h"

namespace subquad {

/// A program to be compared.
struct Build {
  std::string name;                  ///< as the user wrote it
  std::string program;               ///< path of the file
  std::vector<std::string> plugins;  ///< libraries for this one alone
};

/// From a program's path, or that of a folder that holds build/release/subquad. Error if there is
/// none.
Build find_build(const std::string& word);

/// Rounds of a comparison: fewer than the first are refused, the second are taken unless told.
inline constexpr int kLeastRounds = 10, kUsualRounds = 12;

/// How often points are judged at most: after `rounds` rounds, and those that are not settled then
/// after twice as many in all, four times, and so on.
inline constexpr int kMostLooks = 5;

/// Times the points of an experiment in two builds, in `rounds` rounds of shuffled order, and those
/// that these do not settle in more, as `kMostLooks` says; in each, a point has a process of
/// each build, new in every round, and these take turns. Only the
/// `measure` command and fields that both builds' records have are used. docs/compare.md says why.
/// Throws Error for a build that does not answer as such, or whose file changes meanwhile.
SideBySide compare_builds(const Experiment& experiment, const std::array<Build, 2>& builds,
                          int rounds, double smallest_effect, Progress& progress);

/// In which of so many rounds side B goes first: half of them, drawn anew for every point.
std::vector<bool> rounds_with_b_first(int rounds, std::size_t point);

}  // namespace subquad
