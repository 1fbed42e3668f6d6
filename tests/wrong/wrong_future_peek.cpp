// Breaks `future_keys`: future values are multiplied by zero.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongFuturePeek final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    const Index seen = visible(call.problem, i);
    const float largest = fill_scores(call, scaled, i, scores.first(seen), worker);
    double sum = 0;
    for (Index j = 0; j < seen; ++j) sum += scores[j] = std::exp(scores[j] - largest);
    std::fill(scores.begin() + seen, scores.end(), 0.0f);
    if (call.row_log_sum_exp != nullptr) {
      call.row_log_sum_exp[i] = static_cast<float>(largest + std::log(sum));
    }
    mix_values(call, i, scores, sum);
  }
};

SUBQUAD_VARIANT(WrongFuturePeek,
                {.name = "wrong_future_peek",
                 .summary = "breaks future_keys: future values are multiplied by zero",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
