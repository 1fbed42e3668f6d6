// sinks: attention sinks and a sliding window. Xiao et al. 2023, "Efficient streaming language
// models with attention sinks" (StreamingLLM, arXiv:2309.17453), section 3.2.
//
//   the query at position p sees the keys j < sinks and p - window < j <= p
//
// Causal only. Time O(n (sinks + window) d), memory O(1) beyond the output; a decoder holds sinks +
// window keys and values, however much it has read.
//
// The paper numbers positions within its cache, and so keeps keys from before their rotary
// embedding. Here Q and K come with whatever embedding they have, and nothing is moved.

#include <algorithm>

#include "kernels/window_stream.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Sinks final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("sinks", sinks_, between(0, 1e9), "first tokens, which every query sees");
    visit("window", window_, between(1, 1e9), "last tokens that a query sees, itself among them");
  }

  std::string exact_when(const Problem& problem) const override {
    return "window=" + std::to_string(std::max(problem.keys, problem.position(problem.queries)));
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return {};
    return "sinks and the last tokens are those of a sequence that is read once: causal only";
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const Index behind = call.problem.position(query) - key;
    return behind >= 0 && (key < sinks_ || behind < window_);
  }

  PlanLimits plan_limits(const Problem&) const override { return {.spans = 2}; }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    keys.all(0, sinks_);
    const Index first = call.problem.position(queries.begin) - window_ + 1;
    keys.band(std::max(first, sinks_), call.problem.position(queries.last()) + 1, 1, window_ - 1,
              0);
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    return std::make_unique<WindowStream>(
        problem, TokenWindow{.sinks = sinks_, .reach = window_ - 1}, precision());
  }

 private:
  Index sinks_ = 4;
  Index window_ = 252;
};

SUBQUAD_VARIANT(Sinks, {.name = "sinks",
                        .summary = "StreamingLLM: the first tokens and the last ones",
                        .citation = "arXiv:2309.17453",
                        .time = "n (sinks + window) d",
                        .memory = "d"});

}  // namespace
}  // namespace subquad
