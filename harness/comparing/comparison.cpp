#include "comparing/comparison.h"

#include <algorithm>
#include <cmath>

namespace subquad {

const char* to_string(TimeVerdict verdict) {
  switch (verdict) {
    case TimeVerdict::faster:
      return "faster";
    case TimeVerdict::slower:
      return "slower";
    case TimeVerdict::same:
      return "same";
    case TimeVerdict::unclear:
      return "cannot tell";
    case TimeVerdict::not_timed:
      break;
  }
  return "not timed";
}

bool PointComparison::regressed() const {
  return verdict == TimeVerdict::slower ||
         std::any_of(changes.begin(), changes.end(),
                     [](const Change& change) { return change.worse; });
}

std::size_t SideBySide::regressions() const {
  return static_cast<std::size_t>(
      std::count_if(points.begin(), points.end(),
                    [](const PointComparison& point) { return point.regressed(); }));
}

TimeVerdict judged(const MeanTest& test, double adjusted_p, double smallest_effect) {
  const double limit = std::log1p(smallest_effect);
  if (adjusted_p < kFamilyError && std::abs(test.mean) >= limit) {
    return test.mean > 0 ? TimeVerdict::slower : TimeVerdict::faster;
  }
  return test.low > -limit && test.high < limit ? TimeVerdict::same : TimeVerdict::unclear;
}

void judge_tests(SideBySide& comparison, int most_looks) {
  std::vector<PointComparison*> tested;
  std::vector<double> p;
  for (PointComparison& point : comparison.points) {
    if (!point.test) continue;
    tested.push_back(&point);
    // What is settled is not judged again, but is one of those that might have been called
    // different.
    p.push_back(point.settled ? 1 : point.test->p);
  }
  const std::vector<double> adjusted = holm_adjusted(p);
  for (std::size_t i = 0; i < tested.size(); ++i) {
    PointComparison& point = *tested[i];
    if (point.settled) continue;
    point.adjusted_p = std::min(1.0, most_looks * adjusted[i]);
    point.verdict = judged(*point.test, *point.adjusted_p, comparison.smallest_effect);
    point.settled = point.verdict != TimeVerdict::unclear;
  }
  ++comparison.looks;
}

}  // namespace subquad
