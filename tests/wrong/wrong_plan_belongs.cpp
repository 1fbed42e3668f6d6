// Breaks `plan`: pairs that are seen belong to no pass.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPlanBelongs final : public HonestWindow {
 public:
  bool belongs(const PlanCall& call, Index query, Index key) const override {
    return HonestWindow::sees(call, query, key) && key != call.problem.position(query);
  }
};

SUBQUAD_VARIANT(WrongPlanBelongs, {.name = "wrong_plan_belongs",
                                   .summary = "breaks plan: pairs that are seen belong to no pass",
                                   .citation = "twin honest_window",
                                   .time = "n^2 d",
                                   .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
