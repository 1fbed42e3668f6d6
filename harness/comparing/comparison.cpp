#include "comparing/comparison.h"

#include <algorithm>
#include <cmath>

namespace subquad {

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return "faster";
    case Verdict::slower:
      return "slower";
    case Verdict::same:
      return "same";
    case Verdict::unclear:
      return "cannot tell";
    case Verdict::not_timed:
      break;
  }
  return "not timed";
}

bool PointComparison::regressed() const {
  return verdict == Verdict::slower ||
         std::any_of(changes.begin(), changes.end(),
                     [](const Change& change) { return change.worse; });
}

std::size_t Comparison::regressions() const {
  return static_cast<std::size_t>(
      std::count_if(points.begin(), points.end(),
                    [](const PointComparison& point) { return point.regressed(); }));
}

Verdict judged(const MeanTest& test, double adjusted_p, double smallest_effect) {
  const double limit = std::log1p(smallest_effect);
  if (adjusted_p < kFamilyError && std::abs(test.mean) >= limit) {
    return test.mean > 0 ? Verdict::slower : Verdict::faster;
  }
  return test.low > -limit && test.high < limit ? Verdict::same : Verdict::unclear;
}

void judge_tests(Comparison& comparison) {
  std::vector<PointComparison*> tested;
  std::vector<double> p;
  for (PointComparison& point : comparison.points) {
    if (!point.test) continue;
    tested.push_back(&point);
    p.push_back(point.test->p);
  }
  const std::vector<double> adjusted = holm_adjusted(p);
  for (std::size_t i = 0; i < tested.size(); ++i) {
    tested[i]->adjusted_p = adjusted[i];
    tested[i]->verdict = judged(*tested[i]->test, adjusted[i], comparison.smallest_effect);
  }
}

}  // namespace subquad
