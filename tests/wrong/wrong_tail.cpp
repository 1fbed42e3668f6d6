// Breaks `odd_sizes`: keys beyond a multiple of four are lost.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongTail final : public Honest {
 protected:
  Index visible(const Problem& problem, Index i) const override {
    return std::min(Modest::visible(problem, i), std::max<Index>(1, problem.keys / 4 * 4));
  }
};

SUBQUAD_VARIANT(WrongTail, {.name = "wrong_tail",
                            .summary = "breaks odd_sizes: keys beyond a multiple of four are lost",
                            .citation = "twin honest",
                            .time = "n^2 d",
                            .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
