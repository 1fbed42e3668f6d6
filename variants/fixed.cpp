// fixed: the own block, and the last columns of every block, which gather what lies in it. Child et
// al. 2019, "Generating long sequences with sparse transformers" (arXiv:1904.10509), section 4.2,
// fixed.
//
//   the query at position p sees key j if floor(p / block) = floor(j / block)
//                                      or j mod block >= block - summary
//
// and j <= p where causal. Time O(n (block + summary n / block) d), which is n sqrt(n) at a block
// of about sqrt(n); memory O(1) beyond the output.
//
// The paper is causal and gives both parts to one head or to several; here they are merged, and
// what lies in both counts once. The code published with the Long Range Arena (arXiv:2011.04006)
// has something else under this name: it adds the first column of each block to the summaries, and
// hides the future from encoders too.

#include <algorithm>

#include "kernels/position_blocks.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Fixed final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("block", block_, between(1, 1e9), "consecutive tokens that make up a block");
    visit("summary", summary_, between(0, 1e9),
          "columns at the end of each block that every query sees; at most the block");
  }

  std::string exact_when(const Problem& problem) const override {
    return "block=" + std::to_string(std::max(problem.keys, problem.position(problem.queries)));
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    return call.problem.position(query) / block_ == key / block_ ||
           key % block_ >= block_ - summary_;
  }

  QueryPass pass(const Problem& problem, Index) const override {
    return {.block = rows_within_blocks(block_, problem)};
  }
  PlanLimits plan_limits(const Problem& problem) const override {
    return {.spans = 1, .singles = block_count(problem.keys, block_) * columns()};
  }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index own = call.problem.position(queries.begin) / block_;
    keys.all(own * block_, (own + 1) * block_);
    const Index end =
        call.problem.causal ? std::min(own * block_, call.problem.keys) : call.problem.keys;
    for (Index block = 0; block * block_ < end; ++block) {
      if (block == own) continue;
      const Index last = std::min((block + 1) * block_, end);
      for (Index key = (block + 1) * block_ - columns(); key < last; ++key) {
        const auto summary = static_cast<std::int32_t>(key);
        keys.single({&summary, 1});
      }
    }
  }

 private:
  Index columns() const { return std::min(summary_, block_); }

  Index block_ = 128;
  Index summary_ = 8;
};

SUBQUAD_VARIANT(Fixed, {.name = "fixed",
                        .summary = "Sparse Transformer: the own block, and summary columns of all",
                        .citation = "arXiv:1904.10509",
                        .time = "n (block + summary n / block) d",
                        .memory = "summary n / block"});

}  // namespace
}  // namespace subquad
