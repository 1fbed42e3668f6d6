// Breaks `weights`: weights that do not sum to the output.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongWeights final : public Honest {
 public:
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    Honest::weights(call, weights);
    for (Index i = 0; i < weights.rows; ++i) weights(i, 0) /= 2;
  }
};

SUBQUAD_VARIANT(WrongWeights, {.name = "wrong_weights",
                               .summary = "breaks weights: weights that do not sum to the output",
                               .citation = "twin honest",
                               .time = "n^2 d",
                               .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
