// Breaks `cross_attention`: as many keys as queries are taken for granted.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongSquare final : public Honest {
 protected:
  Index visible(const Problem& problem, Index i) const override {
    const Index seen = Modest::visible(problem, i);
    return problem.causal ? seen : std::min(seen, problem.queries);
  }
};

SUBQUAD_VARIANT(WrongSquare,
                {.name = "wrong_square",
                 .summary = "breaks cross_attention: as many keys as queries are taken for granted",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
