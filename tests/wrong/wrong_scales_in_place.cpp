// Breaks `inputs_unchanged`: q is changed where it lies.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongScalesInPlace final : public Honest {
 public:
  void forward(const Call& call) const override {
    Honest::forward(call);
    const_cast<float*>(call.q.data)[0] *= 2;
  }
};

SUBQUAD_VARIANT(WrongScalesInPlace,
                {.name = "wrong_scales_in_place",
                 .summary = "breaks inputs_unchanged: q is changed where it lies",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
