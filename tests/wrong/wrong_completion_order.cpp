// Breaks `threads`: a sum in the order in which tiles end.

#include <mutex>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongCompletionOrder final : public Modest {
 public:
  std::string refuses(const Problem& problem) const override {
    return problem.causal ? "centring needs every query" : "";
  }
  Scratch scratch(const Problem& problem) const override {
    return Modest::scratch(problem).shared<float>(problem.value_dim);
  }
  /// Outputs minus half their mean over the queries.
  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    Modest::forward(call);
    const std::span<float> mean = call.run.shared().take<float>(problem.value_dim);
    std::fill(mean.begin(), mean.end(), 0.0f);
    std::mutex mutex;
    call.run.parallel(problem.queries, [&](Index i, Worker&) {
      const std::lock_guard lock(mutex);
      for (Index c = 0; c < problem.value_dim; ++c) mean[c] += call.out(i, c);
    });
    for (Index i = 0; i < problem.queries; ++i) {
      for (Index c = 0; c < problem.value_dim; ++c) {
        call.out(i, c) -= mean[c] / static_cast<float>(2 * problem.queries);
      }
    }
  }
  void reference(const ReferenceCall& call) const override {
    Modest::reference(call);
    const Problem& problem = call.problem;
    for (Index c = 0; c < problem.value_dim; ++c) {
      double mean = 0;
      for (Index i = 0; i < problem.queries; ++i) mean += call.out(i, c);
      mean /= static_cast<double>(2 * problem.queries);
      for (Index i = 0; i < problem.queries; ++i) call.out(i, c) -= mean;
    }
  }
};

SUBQUAD_VARIANT(WrongCompletionOrder,
                {.name = "wrong_completion_order",
                 .summary = "breaks threads: a sum in the order in which tiles end",
                 .citation = "twin modest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong
