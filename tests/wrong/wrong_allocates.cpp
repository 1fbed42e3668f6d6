// Breaks `allocates_nothing`: a vector in forward.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongAllocates final : public Honest {
 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    std::vector<float> own(scores.size());
    Honest::attend(call, scaled, i, own, worker);
  }
};

SUBQUAD_VARIANT(WrongAllocates, {.name = "wrong_allocates",
                                 .summary = "breaks allocates_nothing: a vector in forward",
                                 .citation = "twin honest",
                                 .time = "n^2 d",
                                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
