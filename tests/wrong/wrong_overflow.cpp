// Breaks `extreme_scores`: exponentials without subtracting the maximum.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongOverflow final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    const Index seen = visible(call.problem, i);
    fill_scores(call, scaled, i, scores.first(seen), worker);
    float sum = 0;
    for (Index j = 0; j < seen; ++j) sum += scores[j] = std::exp(scores[j]);
    if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = std::log(sum);
    mix_values(call, i, scores.first(seen), sum);
  }
};

SUBQUAD_VARIANT(WrongOverflow,
                {.name = "wrong_overflow",
                 .summary = "breaks extreme_scores: exponentials without subtracting the maximum",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
