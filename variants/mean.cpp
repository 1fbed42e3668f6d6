// mean: every query gets the mean of the values that it may see. A control: attention with all
// scores equal, so a method whose error is no lower than this has learned nothing from Q and K.
//
//   out_i = (1 / |seen(i)|) sum_{j in seen(i)} v_j
//
// Time O(n d), memory O(d).

#include <algorithm>

#include "subquad/registry.h"

namespace subquad {
namespace {

class Mean final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::control; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

  Scratch scratch(const Problem& problem) const override {
    return Scratch().worker<double>(problem.value_dim);
  }

  Cost cost(const Problem& problem) const override {
    // Sums only: no multiply-add of a product, no exponential.
    return {.bytes = sizeof(float) *
                     static_cast<double>((problem.keys + problem.queries) * problem.value_dim)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    call.run.parallel(1, [&](Index, Worker& worker) {
      // In double: a running sum over a million tokens would drift in float.
      const std::span<double> sum = worker.scratch.take<double>(problem.value_dim);
      std::fill(sum.begin(), sum.end(), 0.0);
      Index summed = 0;
      for (Index i = 0; i < problem.queries; ++i) {
        const Index seen =
            problem.causal ? std::min(problem.position(i) + 1, problem.keys) : problem.keys;
        for (; summed < seen; ++summed) {
          for (Index c = 0; c < problem.value_dim; ++c) sum[c] += call.v(summed, c);
        }
        for (Index c = 0; c < problem.value_dim; ++c) {
          call.out(i, c) = static_cast<float>(sum[c] / static_cast<double>(seen));
        }
      }
    });
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) {
      double seen = 0;
      for (Index j = 0; j < weights.cols; ++j) seen += call.problem.sees(i, j);
      for (Index j = 0; j < weights.cols; ++j) {
        weights(i, j) = call.problem.sees(i, j) ? 1 / seen : 0;
      }
    }
  }

  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        double sum = 0, seen = 0;
        for (Index j = 0; j < call.v.rows; ++j) {
          if (!call.problem.sees(i, j)) continue;
          sum += call.v(j, c);
          seen += 1;
        }
        call.out(i, c) = sum / seen;
      }
    }
  }
};

SUBQUAD_VARIANT(Mean, {.name = "mean",
                       .summary = "mean of the values that a query may see: the control",
                       .citation = "control",
                       .time = "n d",
                       .memory = "d"});

}  // namespace
}  // namespace subquad
