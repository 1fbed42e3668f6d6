// A shared library of variants as a user would write one: own_value, by which every query gets the
// value of its own position. With `mix` it gets a share of the mean of all values as well.
//
//   out_i = (1 - mix) v_i + mix mean(v)
//
// Time O(n d), memory O(d).

#include <algorithm>
#include <vector>

#include "subquad/registry.h"

namespace {

using namespace subquad;

class OwnValue final : public Variant {
 public:
  void parameters(Parameters& visit) override {
    visit("mix", mix_, between(0, 1), "share of the mean of all values");
  }
  Target target(const Problem&) const override { return Target::control; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  std::string refuses(const Problem& problem) const override {
    if (!problem.self_attention()) return "a query has a value of its own in self attention only";
    if (problem.causal && mix_ > 0) return "the mean is over later values too";
    return {};
  }
  Scratch scratch(const Problem& problem) const override {
    return Scratch().shared<double>(problem.value_dim);
  }
  Cost cost(const Problem& problem) const override {
    return {.bytes = 2.0 * sizeof(float) * static_cast<double>(problem.keys * problem.value_dim)};
  }

  void forward(const Call& call) const override {
    const std::span<double> mean = call.run.shared().take<double>(call.v.cols);
    std::fill(mean.begin(), mean.end(), 0.0);
    for (Index j = 0; j < call.v.rows; ++j) {
      for (Index c = 0; c < call.v.cols; ++c) mean[c] += call.v(j, c) / double(call.v.rows);
    }
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) =
            static_cast<float>((1 - mix_) * call.v(i, c) + (mix_ > 0 ? mix_ * mean[c] : 0));
      }
    }
  }

  void reference(const ReferenceCall& call) const override {
    for (Index c = 0; c < call.out.cols; ++c) {
      double sum = 0;
      for (Index j = 0; j < call.v.rows; ++j) sum += call.v(j, c);
      for (Index i = 0; i < call.out.rows; ++i) {
        call.out(i, c) = call.v(i, c);
        if (mix_ > 0) call.out(i, c) += mix_ * (sum / double(call.v.rows) - call.v(i, c));
      }
    }
  }

 private:
  double mix_ = 0;
};

SUBQUAD_VARIANT(OwnValue, {.name = "own_value",
                           .summary = "every query gets the value of its own position",
                           .citation = "control",
                           .time = "n d",
                           .memory = "d"});

}  // namespace
