// Breaks `plan`: a key is listed twice, although it counts once.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPlanOverlap final : public HonestWindow {
 public:
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    HonestWindow::plan(call, queries, keys);
    // A band that no pair lies in.
    const Index last = call.problem.position(queries.last());
    keys.band(last, last + 1, 1, -call.problem.keys, -call.problem.keys);
  }
};

SUBQUAD_VARIANT(WrongPlanOverlap,
                {.name = "wrong_plan_overlap",
                 .summary = "breaks plan: a key is listed twice, although it counts once",
                 .citation = "twin honest_window",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
