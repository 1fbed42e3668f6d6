// Breaks `stays_inside`: one float beyond the scratch that was taken.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongScratchOverrun final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    Honest::attend(call, scaled, i, scores, worker);
    // Behind the padding that ends the allocation.
    scores.data()[padded_bytes(scores.size_bytes()) / sizeof(float)] = 1;
  }
};

SUBQUAD_VARIANT(WrongScratchOverrun,
                {.name = "wrong_scratch_overrun",
                 .summary = "breaks stays_inside: one float beyond the scratch that was taken",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
