// zero: the output is 0. A control: attention that contributes nothing, so that in a block or a
// trained model the residual stream goes by unchanged. A replacement that does worse than this
// harms more than it tells.
//
//   out_i = 0
//
// Reads nothing, computes nothing; a relative error of 1 by definition. Time O(n d) to write the
// output, no memory.

#include <algorithm>

#include "subquad/registry.h"

namespace subquad {
namespace {

class Zero final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::control; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = false}; }
  bool ignores_key_order(const Problem&) const override { return true; }

  Cost cost(const Problem& problem) const override {
    return {.bytes = sizeof(float) * static_cast<double>(problem.queries * problem.value_dim)};
  }

  void forward(const Call& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0f);
  }

  void weights(const ReferenceCall&, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) std::fill_n(weights.row(i), weights.cols, 0.0);
  }

  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0);
  }
};

SUBQUAD_VARIANT(Zero, {.name = "zero",
                       .summary = "an output of 0, as if there were no attention: the control",
                       .citation = "control",
                       .time = "n d",
                       .memory = "0"});

}  // namespace
}  // namespace subquad
