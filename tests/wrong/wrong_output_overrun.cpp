// Breaks `stays_inside`: a column behind the last row of the output.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongOutputOverrun final : public Honest {
 public:
  void forward(const Call& call) const override {
    Honest::forward(call);
    call.out.row(call.out.rows - 1)[call.out.cols] = 1;
  }
};

SUBQUAD_VARIANT(WrongOutputOverrun,
                {.name = "wrong_output_overrun",
                 .summary = "breaks stays_inside: a column behind the last row of the output",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
