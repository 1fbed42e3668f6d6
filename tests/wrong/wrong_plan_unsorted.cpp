// Breaks `plan`: later keys come first.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPlanUnsorted final : public HonestWindow {
 public:
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index begin = std::max<Index>(0, call.problem.position(queries.begin) - radius);
    const Index end = call.problem.position(queries.last()) + radius + 1;
    const Index middle = begin + (end - begin) / 2;
    keys.band(middle, end, 1, radius, radius);
    keys.band(begin, middle, 1, radius, radius);
  }
};

SUBQUAD_VARIANT(WrongPlanUnsorted, {.name = "wrong_plan_unsorted",
                                    .summary = "breaks plan: later keys come first",
                                    .citation = "twin honest_window",
                                    .time = "n^2 d",
                                    .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
