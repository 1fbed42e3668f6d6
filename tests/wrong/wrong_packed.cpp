// Breaks `strided_views`: rows of V are taken to follow one another.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPacked final : public Honest {
 public:
  void forward(const Call& call) const override {
    Call packed = call;
    packed.v.stride = packed.v.cols;
    Honest::forward(packed);
  }
};

SUBQUAD_VARIANT(WrongPacked,
                {.name = "wrong_packed",
                 .summary = "breaks strided_views: rows of V are taken to follow one another",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
