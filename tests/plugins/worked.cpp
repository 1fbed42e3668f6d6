// worked: the mean of V, summed up SUBQUAD_PASSES times over and divided by as much.
// worked_more.cpp is the same with one pass in ten more, as a variant is that has become slower and
// nothing else.
//
// Time O(n d), memory O(d).

#include <algorithm>

#include "subquad/registry.h"

#ifndef SUBQUAD_PASSES
#define SUBQUAD_PASSES 40
#endif

namespace {

using namespace subquad;

class Worked final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::control; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  std::string refuses(const Problem& problem) const override {
    return problem.causal ? "the mean is over later values too" : "";
  }
  Scratch scratch(const Problem& problem) const override {
    return Scratch().shared<double>(problem.value_dim);
  }
  Cost cost(const Problem& problem) const override {
    return {.bytes = sizeof(float) * static_cast<double>(problem.keys * problem.value_dim)};
  }

  void forward(const Call& call) const override {
    const std::span<double> sum = call.run.shared().take<double>(call.v.cols);
    std::fill(sum.begin(), sum.end(), 0.0);
    for (int pass = 0; pass < SUBQUAD_PASSES; ++pass) {
      for (Index j = 0; j < call.v.rows; ++j) {
        for (Index c = 0; c < call.v.cols; ++c) sum[c] += call.v(j, c);
      }
    }
    const double count = SUBQUAD_PASSES * double(call.v.rows);
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = static_cast<float>(sum[c] / count);
      }
    }
  }

  void reference(const ReferenceCall& call) const override {
    for (Index c = 0; c < call.out.cols; ++c) {
      double mean = 0;
      for (Index j = 0; j < call.v.rows; ++j) mean += call.v(j, c) / double(call.v.rows);
      for (Index i = 0; i < call.out.rows; ++i) call.out(i, c) = mean;
    }
  }
};

SUBQUAD_VARIANT(Worked, {.name = "worked",
                         .summary = "the mean of V, computed over and over",
                         .citation = "control",
                         .time = "n d",
                         .memory = "d"});

}  // namespace
