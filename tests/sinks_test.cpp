#include <gtest/gtest.h>

#include <set>

#include "support/masked_attention.h"

namespace subquad {
namespace {

std::string expression(Index sinks, Index window) {
  return "sinks(sinks=" + std::to_string(sinks) + ",window=" + std::to_string(window) + ")";
}

/// Simulates the cache: tokens enter one by one, and the oldest that is no sink falls out.
Mask sinks_mask(const Problem& problem, Index sinks, Index window) {
  std::vector<std::set<Index>> cached;  // after each token
  std::set<Index> first, last;
  for (Index token = 0; token < problem.position(problem.queries); ++token) {
    if (token < sinks) first.insert(token);
    last.insert(token);
    if (static_cast<Index>(last.size()) > window) last.erase(last.begin());
    cached.push_back(last);
    cached.back().insert(first.begin(), first.end());
  }
  return [=](Index query, Index key) { return cached[problem.position(query)].contains(key); };
}

TEST(Sinks, EqualsMaskedAttention) {
  for (const Index sinks : {0, 1, 4, 100}) {
    for (const Index window : {1, 7, 64, 300}) {
      for (const Problem& problem : pattern_problems()) {
        if (!problem.causal) continue;
        SCOPED_TRACE(expression(sinks, window) + ": " + text_of(problem));
        VariantTrial trial(expression(sinks, window), problem);
        expect_masked_attention(trial, sinks_mask(problem, sinks, window));
      }
    }
  }
}

TEST(Sinks, IsExactWithALongWindow) {
  for (const Problem& problem : pattern_problems()) {
    if (problem.causal) expect_exact("sinks", problem);
  }
}

TEST(Sinks, RefusesWhatIsNotCausal) {
  const Problem problem = self_problem(16, 4, 4);
  const auto variant = make_variant(parse_expression("sinks"), problem);
  EXPECT_NE(variant->refuses(problem), "");
  EXPECT_EQ(variant->refuses(self_problem(16, 4, 4, true)), "");
}

/// Decodes token by token; largest difference to forward.
double stream_error(const std::string& expression, Index n) {
  VariantTrial trial(expression, self_problem(n, 9, 6, true));
  const std::vector<float> whole = trial.forward();
  return VariantTrial::difference(trial.decode(), whole);
}

TEST(Sinks, StreamsEqualForwardLongAfterTheRingHasWrapped) {
  for (const std::string& text :
       {expression(0, 1), expression(4, 7), expression(3, 64), expression(500, 3),
        std::string("local(radius=0)"), std::string("local(radius=5)"),
        std::string("local(radius=5,dilation=3)"), std::string("local(radius=2,dilation=700)"),
        std::string("local(radius=1000,dilation=7)")}) {
    SCOPED_TRACE(text);
    EXPECT_LT(stream_error(text, 400), 1e-5);
  }
}

TEST(Sinks, StateOfAStreamDoesNotGrow) {
  const auto bytes = [](const std::string& text, Index n, Index steps) {
    VariantTrial trial(text, self_problem(n, 4, 4, true));
    const auto stream = trial.variant->stream(trial.problem, trial.tensors);
    std::vector<float> out(static_cast<std::size_t>(n * 4));
    for (Index i = 0; i < steps; ++i) stream->step(trial.token(i, View(out.data(), n, 4)));
    return stream->state_bytes();
  };
  const std::size_t token = 2 * 4 * sizeof(float);
  EXPECT_EQ(bytes(expression(4, 60), 300, 1), 64 * token);
  EXPECT_EQ(bytes(expression(4, 60), 300, 300), 64 * token);
  EXPECT_EQ(bytes(expression(4, 60), 3000, 3000), 64 * token);
  EXPECT_EQ(bytes("local(radius=9,dilation=3)", 3000, 3000), 30 * token);
  EXPECT_EQ(bytes("local(radius=100000)", 3000, 10), 3000 * token);  // never more than there is
  EXPECT_EQ(bytes("local(radius=1,dilation=1000000000)", 300, 300), 300 * token);
}

}  // namespace
}  // namespace subquad
