// Breaks `row_log_sum_exp`: a logarithm to the base two.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongLogarithm final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    Honest::attend(call, scaled, i, scores, worker);
    if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] *= 1.4426950f;
  }
};

SUBQUAD_VARIANT(WrongLogarithm, {.name = "wrong_logarithm",
                                 .summary = "breaks row_log_sum_exp: a logarithm to the base two",
                                 .citation = "twin honest",
                                 .time = "n^2 d",
                                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
