// strided: every stride-th key, alone or together with a local window. Child et al. 2019,
// "Generating long sequences with sparse transformers" (arXiv:1904.10509), section 4.2, strided.
//
//   the query at position p sees key j if (p - j) mod stride = 0 or |p - j| < window
//
// and j <= p where causal: the last `window` positions, then, the query's own among them. A query
// sees itself without a window too, 0 being a multiple. Time O(n (window + n / stride) d), which is
// n sqrt(n) at a stride of about sqrt(n); memory O(n) for the sums in which both parts meet.
//
// The paper is causal and gives the two parts to two heads, or to layers in turn, or merges them in
// one head. This is the merged form; the parts alone are `strided(window=0)` and `local`. What both
// parts hold counts once.

#include <algorithm>
#include <cstdlib>

#include "subquad/registry.h"

namespace subquad {
namespace {

class Strided final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("stride", stride_, between(1, 1e9), "distance of the keys that a query sees");
    visit("window", window_, between(0, 1e9),
          "keys seen on either side without a gap, the own one included; 0: none");
  }

  std::string exact_when(const Problem&) const override { return "stride=1"; }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const Index distance = std::abs(call.problem.position(query) - key);
    return distance % stride_ == 0 || distance < window_;
  }

  Index passes(const Problem&) const override { return window_ > 0 ? 2 : 1; }
  // Neighbours share a window, rows that lie a stride apart share their other keys.
  QueryPass pass(const Problem& problem, Index number) const override {
    return number + 1 < passes(problem) ? QueryPass{} : QueryPass{.step = stride_};
  }
  bool belongs(const PlanCall& call, Index query, Index key) const override {
    const Index distance = std::abs(call.problem.position(query) - key);
    if (call.pass + 1 < passes(call.problem)) return distance < window_;
    return distance % stride_ == 0 && distance >= window_;
  }
  PlanLimits plan_limits(const Problem&) const override { return {.spans = 1}; }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index first = call.problem.position(queries.begin), reach = window_ - 1;
    if (call.pass + 1 < passes(call.problem)) {
      keys.band(first - reach, call.problem.position(queries.last()) + reach + 1, 1, reach, reach);
    } else if (window_ > 0) {
      keys.outside(first % stride_, call.problem.keys, stride_, reach, reach);
    } else {
      keys.all(first % stride_, call.problem.keys, stride_);
    }
  }

 private:
  Index stride_ = 64;
  Index window_ = 64;
};

SUBQUAD_VARIANT(Strided, {.name = "strided",
                          .summary = "Sparse Transformer: every stride-th key, and a window",
                          .citation = "arXiv:1904.10509",
                          .time = "n (window + n / stride) d",
                          .memory = "n"});

}  // namespace
}  // namespace subquad
