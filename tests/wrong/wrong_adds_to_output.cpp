// Breaks `writes_everything`: it adds to what the output held.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongAddsToOutput final : public Honest {
 protected:
  void mix_values(const Call& call, Index i, std::span<const float> weights,
                  double sum) const override {
    float before = call.out(i, 0);
    Honest::mix_values(call, i, weights, sum);
    call.out(i, 0) += before;
  }
};

SUBQUAD_VARIANT(WrongAddsToOutput,
                {.name = "wrong_adds_to_output",
                 .summary = "breaks writes_everything: it adds to what the output held",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
