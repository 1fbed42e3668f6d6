// Breaks `uneven_widths`: value columns beyond dim are lost.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongWidth final : public Honest {
 protected:
  void mix_values(const Call& call, Index i, std::span<const float> weights,
                  double sum) const override {
    Honest::mix_values(call, i, weights, sum);
    for (Index c = call.problem.dim; c < call.problem.value_dim; ++c) call.out(i, c) = 0;
  }
};

SUBQUAD_VARIANT(WrongWidth, {.name = "wrong_width",
                             .summary = "breaks uneven_widths: value columns beyond dim are lost",
                             .citation = "twin honest",
                             .time = "n^2 d",
                             .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
