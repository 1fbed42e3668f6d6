// Breaks `same_bits`: every second call is a little larger.

#include <atomic>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongCounter final : public Honest {
 public:
  void forward(const Call& call) const override {
    Honest::forward(call);
    static std::atomic<int> calls{0};
    if (calls++ % 2 == 0) return;
    for (Index i = 0; i < call.problem.queries; ++i) {
      for (Index c = 0; c < call.problem.value_dim; ++c) call.out(i, c) *= 1 + 0x1p-22f;
    }
  }
};

SUBQUAD_VARIANT(WrongCounter, {.name = "wrong_counter",
                               .summary = "breaks same_bits: every second call is a little larger",
                               .citation = "twin honest",
                               .time = "n^2 d",
                               .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
