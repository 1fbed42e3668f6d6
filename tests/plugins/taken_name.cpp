// Registers a right variant and, after it, one under a name that a built-in variant has.

#include <algorithm>

#include "subquad/registry.h"

namespace {

using namespace subquad;

class Zero : public Variant {
 public:
  Target target(const Problem&) const override { return Target::control; }
  Cost cost(const Problem&) const override { return {}; }
  void forward(const Call& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0f);
  }
  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0);
  }
};
class Other final : public Zero {};

SUBQUAD_VARIANT(Zero, {"zero_of_taken_name", "zeros", "control", "n", "1"});
SUBQUAD_VARIANT(Other, {"mean", "zeros", "control", "n", "1"});

}  // namespace
