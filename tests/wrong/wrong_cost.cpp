// Breaks `cost`: work of one product is forgotten.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongCost final : public Honest {
 public:
  Cost cost(const Problem& problem) const override {
    Cost cost = Honest::cost(problem);
    cost.useful.multiply_adds = problem.pairs() * static_cast<double>(problem.dim);
    return cost;
  }
};

SUBQUAD_VARIANT(WrongCost, {.name = "wrong_cost",
                            .summary = "breaks cost: work of one product is forgotten",
                            .citation = "twin honest",
                            .time = "n^2 d",
                            .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
