// Breaks `forward_returns`: a length that it cannot do and does not refuse.

#include <stdexcept>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongThrows final : public Honest {
 public:
  void forward(const Call& call) const override {
    if (call.problem.keys == 61) throw std::logic_error("61 keys");
    Honest::forward(call);
  }
};

SUBQUAD_VARIANT(
    WrongThrows,
    {.name = "wrong_throws",
     .summary = "breaks forward_returns: a length that it cannot do and does not refuse",
     .citation = "twin honest",
     .time = "n^2 d",
     .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
