// local: a sliding window (Beltagy, Peters and Cohan 2020, "Longformer", arXiv:2004.05150, section
// 3.1: window and dilation; without global tokens).
//
//   the query at position p sees the keys p + dilation * t for |t| <= radius, t <= 0 where causal
//
// Time O(n w d) with w = 2 radius + 1 keys per query, memory O(1) beyond the output; a decoder
// holds the last (radius + 1) dilation keys and values. The paper counts the window by its width 2
// radius; here `radius` is what lies on either side. The paper's code has no dilation where it runs
// fast; here dilated windows run on strided rows at full speed.

#include <algorithm>
#include <cstdlib>

#include "kernels/window_stream.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Local final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("radius", radius_, between(0, 1e9), "keys seen on either side of the query");
    visit("dilation", dilation_, between(1, 1e9), "distance between neighbouring keys of a window");
  }

  std::string exact_when(const Problem& problem) const override {
    const Index reach = std::max(problem.keys, problem.first_query + problem.queries);
    return "radius=" + std::to_string(reach) + ",dilation=1";
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const Index distance = std::abs(key - call.problem.position(query));
    return distance % dilation_ == 0 && distance / dilation_ <= radius_;
  }

  QueryPass pass(const Problem&, Index) const override { return {.step = dilation_}; }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index reach = radius_ * dilation_;
    keys.band(call.problem.position(queries.begin) - reach,
              call.problem.position(queries.last()) + reach + 1, dilation_, reach, reach);
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    return std::make_unique<WindowStream>(
        problem, TokenWindow{.reach = radius_, .dilation = dilation_}, precision());
  }

 private:
  Index radius_ = 64;
  Index dilation_ = 1;
};

SUBQUAD_VARIANT(Local, {.name = "local",
                        .summary = "a sliding window, dilated on request",
                        .citation = "arXiv:2004.05150",
                        .time = "n radius d",
                        .memory = "d"});

}  // namespace
}  // namespace subquad
