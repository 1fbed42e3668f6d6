// global: a few tokens that see all others and are seen by all; the others see those and
// themselves. Global attention as in Longformer (Beltagy, Peters and Cohan 2020, arXiv:2004.05150,
// section 3.1) and ETC (Ainslie et al. 2020, arXiv:2004.08483), without the window.
//
//   the query at position p sees key j if j or p is the position of a global token, or j = p
//
// and j <= p where causal. Time O(n tokens d), memory O(n) for the sums in which both parts meet.
//
// That a token sees itself belongs to the window, strictly speaking; without it a causal query
// would see nothing until the first global token has come. ETC's global tokens are further tokens
// beside the sequence; here, as in Longformer, they are tokens of it.

#include "kernels/global_tokens.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

class Global final : public WindowWithGlobalTokens {
 public:
  Global() : WindowWithGlobalTokens(8) {}

  void parameters(Parameters& visit) override { globals_.parameters(visit); }

  std::string exact_when(const Problem& problem) const override {
    return "tokens=" + std::to_string(problem.keys);
  }

 protected:
  Shape window() const override { return {}; }
};

SUBQUAD_VARIANT(Global, {.name = "global",
                         .summary = "a few tokens that see all and are seen by all",
                         .citation = "arXiv:2004.05150",
                         .time = "n tokens d",
                         .memory = "n"});

}  // namespace
}  // namespace subquad
