// Every variant that decodes token by token: over a context that is long beside any chunk, window
// or segment, 4096 tokens (the contract asks the same of short ones), and with inputs that do not
// fit.

#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

/// 64 epsilon for a score of 1, as the contract has it, and a sum over 4096 tokens that is taken
/// one by one: 64 roundings more than one in chunks of 64, each half an epsilon.
constexpr double kTolerance = (64 + 32) * std::numeric_limits<float>::epsilon();

double largest_score(VariantTrial& trial) {
  double queries = 0, keys = 0;
  const auto length = [](const VariantTrial::Matrix& rows, Index i) {
    double squares = 0;
    for (Index c = 0; c < rows.cols; ++c) squares += std::pow(rows.view()(i, c), 2);
    return std::sqrt(squares);
  };
  for (Index i = 0; i < trial.problem.keys; ++i) {
    queries = std::max(queries, length(trial.q, i));
    keys = std::max(keys, length(trial.k, i));
  }
  return std::max(1.0, queries * keys * trial.problem.score_scale());
}

TEST(Stream, EqualsTheCausalForwardPassOver4096Tokens) {
  int streamed = 0;
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in" || !entry.registration->powers.stream) continue;
    const std::string name(entry.info().name);
    VariantTrial trial(name, self_problem(4096, 12, 16, true));
    ASSERT_EQ(trial.variant->refuses(trial.problem), "") << name;
    const std::vector<float> whole = trial.forward();
    EXPECT_LT(VariantTrial::difference(trial.decode(), whole), kTolerance * largest_score(trial))
        << name;
    ++streamed;
  }
  EXPECT_GT(streamed, 10);
}

TEST(Stream, ReadsNoInputOfAnotherWidth) {
  int read_x = 0;
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in" || !entry.registration->powers.stream) continue;
    const std::string name(entry.info().name);
    VariantTrial trial(name, self_problem(3, 4, 5, true));
    if (!trial.variant->consumes().x) continue;
    const auto stream = trial.variant->stream(trial.problem, trial.tensors);
    std::vector<float> out(15);
    Token token = trial.token(0, View(out.data(), 3, 5));
    token.x = token.x.col_range(0, 4);
    try {
      stream->step(token);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name + ": x has 4 columns"), std::string::npos);
    }
    ++read_x;
  }
  EXPECT_GE(read_x, 2);
}

}  // namespace
}  // namespace subquad
