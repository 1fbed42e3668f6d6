// Breaks `equals_reference`: the last key of a full block of 128 is lost.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongFullBlock final : public Honest {
 protected:
  Index visible(const Problem& problem, Index i) const override {
    const Index seen = Modest::visible(problem, i);
    return seen > 1 && seen == problem.keys && seen % 128 == 0 ? seen - 1 : seen;
  }
};

SUBQUAD_VARIANT(WrongFullBlock,
                {.name = "wrong_full_block",
                 .summary = "breaks equals_reference: the last key of a full block of 128 is lost",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
