// Breaks `given_scale`: the scale is always that of the width.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongScale final : public Honest {
 protected:
  double factor(const Problem& problem) const override {
    Problem unscaled = problem;
    unscaled.scale = 0;
    return Honest::factor(unscaled);
  }
};

SUBQUAD_VARIANT(WrongScale, {.name = "wrong_scale",
                             .summary = "breaks given_scale: the scale is always that of the width",
                             .citation = "twin honest",
                             .time = "n^2 d",
                             .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
