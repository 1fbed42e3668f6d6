// Breaks `undefined_scratch`: scratch is taken to begin with zeros.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongAssumesZeros final : public Honest {
 public:
  Scratch scratch(const Problem& problem) const override {
    return Honest::scratch(problem).shared<float>(problem.value_dim);
  }
  void forward(const Call& call) const override {
    Honest::forward(call);
    const std::span<float> offset = call.run.shared().take<float>(call.problem.value_dim);
    for (Index i = 0; i < call.problem.queries; ++i) {
      for (Index c = 0; c < call.problem.value_dim; ++c) call.out(i, c) += offset[c];
    }
  }
};

SUBQUAD_VARIANT(WrongAssumesZeros,
                {.name = "wrong_assumes_zeros",
                 .summary = "breaks undefined_scratch: scratch is taken to begin with zeros",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
