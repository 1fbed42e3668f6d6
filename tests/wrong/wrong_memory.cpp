// Breaks `other_calls`: something of the first call is kept for the next ones.

#include <atomic>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongMemory final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    float none = 0;
    first_.compare_exchange_strong(none, 1 + std::tanh(std::abs(call.q(0, 0))));
    const Index seen = visible(call.problem, i);
    const float largest = fill_scores(call, scaled, i, scores.first(seen), worker) + first_.load();
    double sum = 0;
    for (Index j = 0; j < seen; ++j) sum += scores[j] = std::exp(scores[j] - largest);
    if (call.row_log_sum_exp != nullptr) {
      call.row_log_sum_exp[i] = static_cast<float>(largest + std::log(sum));
    }
    mix_values(call, i, scores.first(seen), sum);
  }

 private:
  mutable std::atomic<float> first_{0};
};

SUBQUAD_VARIANT(
    WrongMemory,
    {.name = "wrong_memory",
     .summary = "breaks other_calls: something of the first call is kept for the next ones",
     .citation = "twin honest",
     .time = "n^2 d",
     .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
