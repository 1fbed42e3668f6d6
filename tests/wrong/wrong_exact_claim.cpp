// Breaks `exact_when`: it is not exact where it says.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongExactClaim final : public Honest {
 public:
  std::string exact_when(const Problem&) const override { return "kind=softmax,sharpness=2"; }
};

SUBQUAD_VARIANT(WrongExactClaim, {.name = "wrong_exact_claim",
                                  .summary = "breaks exact_when: it is not exact where it says",
                                  .citation = "twin honest",
                                  .time = "n^2 d",
                                  .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
