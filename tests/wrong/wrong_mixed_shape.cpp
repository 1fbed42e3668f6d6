// Breaks `mixed_shapes`: odd lengths with fewer queries than keys.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongMixedShape final : public Honest {
 protected:
  Index visible(const Problem& problem, Index i) const override {
    const bool both = problem.keys % 2 == 1 && problem.queries != problem.keys;
    return both ? 1 : Modest::visible(problem, i);
  }
};

SUBQUAD_VARIANT(WrongMixedShape,
                {.name = "wrong_mixed_shape",
                 .summary = "breaks mixed_shapes: odd lengths with fewer queries than keys",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
