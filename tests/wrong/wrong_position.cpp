// Breaks `late_queries`: queries are taken to begin at the first key.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPosition final : public Honest {
 protected:
  Index visible(const Problem& problem, Index i) const override {
    return problem.causal ? std::min(problem.keys, i + 1) : problem.keys;
  }
};

SUBQUAD_VARIANT(WrongPosition,
                {.name = "wrong_position",
                 .summary = "breaks late_queries: queries are taken to begin at the first key",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
