// Breaks `initialisers`: an initialiser that fills one half.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongHalfDrawnTensor final : public Modest {
 public:
  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    Modest::tensors(problem, visit);
    visit("offset", {{"value_dim", problem.value_dim}},
          init::custom("zeros in the first half",
                       [](Generator&, const Shape&, std::span<float> values) {
                         const std::size_t half = values.size() / 2;
                         std::fill_n(values.begin(), half, 0.0f);
                       }),
          Role::learned, Sharing::head, "added by nobody");
  }
};

SUBQUAD_VARIANT(WrongHalfDrawnTensor,
                {.name = "wrong_half_drawn_tensor",
                 .summary = "breaks initialisers: an initialiser that fills one half",
                 .citation = "twin modest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
