// Breaks `executed_work`: executed work is not reported.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongUncountedWork final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    const Work before = worker.executed;
    Honest::attend(call, scaled, i, scores, worker);
    worker.executed = before;
  }
};

SUBQUAD_VARIANT(WrongUncountedWork,
                {.name = "wrong_uncounted_work",
                 .summary = "breaks executed_work: executed work is not reported",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
