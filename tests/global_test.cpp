#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/masked_attention.h"

namespace subquad {
namespace {

using Positions = std::set<Index>;

/// Where global tokens have to be.
Positions first_tokens(const Problem& problem, Index tokens) {
  Positions result;
  for (Index i = 0; i < std::min(tokens, problem.keys); ++i) result.insert(i);
  return result;
}

/// Token number t begins the t-th of equal shares of the keys.
Positions even_tokens(const Problem& problem, Index tokens) {
  const Index count = std::min(tokens, problem.keys);
  Positions result;
  for (Index i = 0; i < count; ++i) {
    result.insert(static_cast<Index>(
        std::floor(static_cast<long double>(i) * static_cast<long double>(problem.keys) / count)));
  }
  return result;
}

Mask global_mask(const Problem& problem, const Positions& globals) {
  return [=](Index query, Index key) {
    const Index position = problem.position(query);
    return key == position || globals.contains(key) || globals.contains(position);
  };
}

TEST(Global, EqualsMaskedAttention) {
  for (const Index tokens : {0, 1, 7, 64, 500}) {
    const std::string count = "tokens=" + std::to_string(tokens);
    expect_pattern("global(" + count + ")", [=](const Problem& problem) {
      return global_mask(problem, first_tokens(problem, tokens));
    });
    expect_pattern("global(placement=even," + count + ")", [=](const Problem& problem) {
      return global_mask(problem, even_tokens(problem, tokens));
    });
  }
}

TEST(Global, EqualsMaskedAttentionAtDrawnPositions) {
  for (const Index tokens : {1, 9, 64}) {
    for (const Problem& problem : pattern_problems()) {
      SCOPED_TRACE(std::to_string(tokens) + " tokens, " + text_of(problem));
      VariantTrial trial("global(placement=given,tokens=" + std::to_string(tokens) + ")", problem);
      const auto drawn = trial.tensors.integers("positions");
      const Positions globals(drawn.begin(), drawn.end());
      ASSERT_EQ(static_cast<Index>(globals.size()), std::min(tokens, problem.keys));
      expect_masked_attention(trial, global_mask(problem, globals));
    }
  }
}

TEST(Global, EqualsMaskedAttentionAtLoadedPositions) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("global(placement=given,tokens=4)", self_problem(200, 8, 8, causal));
    const std::vector<std::int32_t> loaded{0, 77, 78, 199};
    std::copy(loaded.begin(), loaded.end(), trial.tensors.choices("positions").begin());
    expect_masked_attention(trial,
                            global_mask(trial.problem, Positions(loaded.begin(), loaded.end())));
  }
}

TEST(Global, DrawsPositionsUniformly) {
  std::vector<double> counts(20, 0.0);
  const Problem problem = self_problem(20, 2, 2);
  const auto variant = make_variant(parse_expression("global(placement=given,tokens=5)"), problem);
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const DrawnMapTensors tensors(*variant, problem, seed);
    for (const std::int32_t position : tensors.integers("positions")) counts[position] += 1;
  }
  // 2000 draws of a quarter of the positions: 500 times each, standard deviation 19.4.
  for (const double count : counts) EXPECT_NEAR(count, 500, 5 * 19.4);
}

TEST(Global, RefusesPositionsThatDoNotAscendWithinTheKeys) {
  const auto message = [](std::vector<std::int32_t> loaded) -> std::string {
    VariantTrial trial("global(placement=given,tokens=3)", self_problem(50, 4, 4));
    std::copy(loaded.begin(), loaded.end(), trial.tensors.choices("positions").begin());
    try {
      trial.forward();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({0, 20, 49}), "");
  EXPECT_THAT(message({0, 20, 50}), testing::HasSubstr("'positions' of global tokens holds 50"));
  EXPECT_THAT(message({0, 20, 50}), testing::HasSubstr("[0, 50)"));
  EXPECT_THAT(message({0, 20, 20}), testing::HasSubstr("holds 20 after 20"));
  EXPECT_THAT(message({-1, 20, 30}), testing::HasSubstr("holds -1"));
}

TEST(Global, IsExactWhereAllTokensAreGlobal) {
  for (const Problem& problem : pattern_problems()) expect_exact("global", problem);
}

TEST(Global, HidesTheFuture) {
  for (const std::string text : {"global(tokens=5)", "global(tokens=5,placement=even)"}) {
    EXPECT_EQ(rows_that_see_the_future(text, self_problem(150, 8, 8, true)), 0);
  }
}

}  // namespace
}  // namespace subquad
