// blocked: attention inside blocks of neighbouring tokens, with blocks beside it on request. The
// block-local form of "local attention" in Tay et al. 2020, "Long range arena" (arXiv:2011.04006,
// appendix B), and of Liu et al. 2018 (arXiv:1801.10198, section 4.2.4).
//
//   the query at position p sees key j if |floor(p / block) - floor(j / block)| <= neighbours,
//   and j <= p where causal, so that only blocks behind remain
//
// Time O(n (2 neighbours + 1) block d), memory O(1) beyond the output.
//
// Different from the code published with the Long Range Arena: there the sequence is reshaped so
// that a "block" holds the tokens whose position leaves the same remainder, which is a strided
// pattern, and padding adds a block where the length is already a multiple. Here a block is what
// the paper says, consecutive tokens, and only the last one may be shorter.

#include <algorithm>
#include <cstdlib>

#include "kernels/position_blocks.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Blocked final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("block", block_, between(1, 1e9), "consecutive tokens that make up a block");
    visit("neighbours", neighbours_, between(0, 1e9), "blocks seen on either side of the own one");
  }

  std::string exact_when(const Problem& problem) const override {
    return "block=" + std::to_string(std::max(problem.keys, problem.position(problem.queries)));
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    return std::abs(call.problem.position(query) / block_ - key / block_) <= neighbours_;
  }

  QueryPass pass(const Problem& problem, Index) const override {
    return {.block = rows_within_blocks(block_, problem)};
  }
  PlanLimits plan_limits(const Problem&) const override { return {.spans = 1}; }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index own = call.problem.position(queries.begin) / block_;
    keys.all((own - neighbours_) * block_, (own + neighbours_ + 1) * block_);
  }

 private:
  Index block_ = 64;
  Index neighbours_ = 0;
};

SUBQUAD_VARIANT(Blocked, {.name = "blocked",
                          .summary = "blocks of consecutive tokens, with neighbours on request",
                          .citation = "arXiv:2011.04006",
                          .time = "n (2 neighbours + 1) block d",
                          .memory = "d"});

}  // namespace
}  // namespace subquad
