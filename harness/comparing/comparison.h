#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "comparing/paired_test.h"
#include "comparing/point_figures.h"

namespace subquad {

/// What is said of the time of one point.
enum class TimeVerdict { faster, slower, same, unclear, not_timed };
const char* to_string(TimeVerdict verdict);

/// Of all tests of a comparison together: how often it may call anything different that is not.
inline constexpr double kFamilyError = 0.05;

/// One point on both sides, first A, then B.
struct PointComparison {
  std::string group;  ///< input, length and the like, as a heading
  std::string variant;
  std::array<std::optional<PointFigures>, 2> figures;  ///< none of a side that has no such point
  /// Times of the rounds (builds), or times over the anchor's of the runs (stored runs).
  std::array<std::vector<double>, 2> times;
  std::optional<MeanTest> test;      ///< of log(B / A)
  std::optional<double> adjusted_p;  ///< of all points together; none where no test can be made
  TimeVerdict verdict = TimeVerdict::not_timed;
  bool settled = false;  ///< it is told, and not judged again
  std::string why;       ///< the verdict is so: of `not_timed`, and of some that are unclear
  std::vector<Change> changes;

  bool regressed() const;
};

/// Two builds or two sets of runs.
struct SideBySide {
  std::array<std::string, 2> names;
  bool over_anchor = false;    ///< times are ratios to the anchor's
  double smallest_effect = 0;  ///< that matters, as 0.03
  std::vector<std::string> notices;
  std::vector<PointComparison> points;  ///< those of a group together
  int looks = 0;                        ///< how often the points have been judged
  bool interrupted = false;

  std::size_t regressions() const;
};

/// From interval and adjusted p: `slower` or `faster` where the difference is certain and by its
/// estimate at least `smallest_effect`; `same` where the interval is within that.
TimeVerdict judged(const MeanTest& test, double adjusted_p, double smallest_effect);

/// Judges the points that have a test and are not settled, with p values that are adjusted for all
/// points that have one. A comparison that goes on, taking more of what is not settled, may be
/// judged up to `most_looks` times: each has an equal share of `kFamilyError` (Bonferroni), so that
/// all of them together err no more often, whatever decides which points go on. Settled is a point
/// with a verdict, or with an estimate that is too small to matter.
void judge_tests(SideBySide& comparison, int most_looks = 1);

std::string comparison_text(const SideBySide& comparison);
std::string comparison_json(const SideBySide& comparison);

}  // namespace subquad
