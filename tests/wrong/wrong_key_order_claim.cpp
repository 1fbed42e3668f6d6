// Breaks `key_order`: it favours early keys and says that order is nothing.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongKeyOrderClaim final : public Modest {
 public:
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

 protected:
  void mix_values(const Call& call, Index i, std::span<const float> weights,
                  double sum) const override {
    const double first = weights[0];
    Modest::mix_values(call, i, weights, sum);
    for (Index c = 0; c < call.problem.value_dim; ++c) {
      const double mixed = static_cast<double>(call.out(i, c)) * sum + first * call.v(0, c);
      call.out(i, c) = static_cast<float>(mixed / (sum + first));
    }
  }
  double reference_score(const ReferenceCall& call, Index i, Index j) const override {
    return Modest::reference_score(call, i, j) + (j == 0 ? std::log(2.0) : 0.0);
  }
};

SUBQUAD_VARIANT(
    WrongKeyOrderClaim,
    {.name = "wrong_key_order_claim",
     .summary = "breaks key_order: it favours early keys and says that order is nothing",
     .citation = "twin honest",
     .time = "n^2 d",
     .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
