#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/masked_attention.h"

namespace subquad {
namespace {

struct Setting {
  Index block, window, global, random;

  std::string text(const std::string& rest = "") const {
    return "bigbird(block=" + std::to_string(block) + ",window=" + std::to_string(window) +
           ",global=" + std::to_string(global) + ",random=" + std::to_string(random) + rest + ")";
  }
};

/// Random blocks of each block of queries, as the tensor holds them.
using Drawn = std::vector<std::set<Index>>;

Drawn drawn_blocks(const DrawnMapTensors& tensors, Index random, Index keys, Index block) {
  const Index width = std::min(random, (keys + block - 1) / block);
  Drawn result;
  if (width == 0) return result;
  const auto blocks = tensors.integers("random_blocks");
  for (std::size_t begin = 0; begin < blocks.size(); begin += static_cast<std::size_t>(width)) {
    auto& row = result.emplace_back();
    for (const std::int32_t number : blocks.subspan(begin, static_cast<std::size_t>(width))) {
      if (number >= 0) row.insert(number);
    }
  }
  return result;
}

/// Global blocks: handed out at the front and at the end in turn.
std::set<Index> global_blocks(Index count, Index global) {
  std::set<Index> result;
  for (Index i = 0; i < global && i < count; ++i)
    result.insert(i % 2 == 0 ? i / 2 : count - 1 - i / 2);
  return result;
}

Mask bigbird_mask(const Problem& problem, const Setting& setting, const Drawn& drawn) {
  const std::set<Index> globals =
      global_blocks((problem.keys + setting.block - 1) / setting.block, setting.global);
  return [=](Index query, Index key) {
    const Index own = problem.position(query) / setting.block, other = key / setting.block;
    if (globals.contains(own) || globals.contains(other)) return true;
    if (2 * std::abs(own - other) < setting.window) return true;
    return !drawn.empty() && drawn[own - problem.first_query / setting.block].contains(other);
  };
}

TEST(BigBird, EqualsMaskedAttention) {
  for (const Setting& setting :
       {Setting{16, 3, 2, 3}, Setting{64, 3, 2, 1}, Setting{7, 1, 0, 0}, Setting{7, 5, 1, 2},
        Setting{10, 3, 3, 4}, Setting{1, 3, 2, 3}, Setting{16, 1, 100, 2}, Setting{16, 1, 0, 100},
        Setting{500, 3, 2, 3}}) {
    for (const std::string plan : {"", ",plan=released"}) {
      for (const Problem& problem : pattern_problems()) {
        if (problem.causal && !plan.empty()) continue;
        SCOPED_TRACE(setting.text(plan) + ": " + text_of(problem));
        VariantTrial trial(setting.text(plan), problem);
        expect_masked_attention(trial, bigbird_mask(problem, setting,
                                                    drawn_blocks(trial.tensors, setting.random,
                                                                 problem.keys, setting.block)));
      }
    }
  }
}

TEST(BigBird, EqualsMaskedAttentionWithLoadedBlocks) {
  for (const bool causal : {false, true}) {
    const Setting setting{16, 3, 2, 3};
    const Problem problem = self_problem(160, 8, 8, causal);
    VariantTrial trial(setting.text(), problem);
    const auto blocks = trial.tensors.choices("random_blocks");
    // Among them some that are seen anyway, some of the future, and rows that are not full.
    for (std::size_t row = 0; row < 10; ++row) {
      const std::int32_t first = static_cast<std::int32_t>(row % 4);
      blocks[3 * row] = first;
      blocks[3 * row + 1] = row % 3 == 0 ? -1 : first + 5;
      blocks[3 * row + 2] = row % 3 == 2 ? 9 : -1;
    }
    expect_masked_attention(
        trial, bigbird_mask(problem, setting, drawn_blocks(trial.tensors, 3, 160, 16)));
  }
}

Drawn draw(const std::string& text, const Problem& problem, Index random, Index block,
           std::uint64_t seed) {
  const auto variant = make_variant(parse_expression(text), problem);
  return drawn_blocks(DrawnMapTensors(*variant, problem, seed), random, problem.keys, block);
}

TEST(BigBird, DrawsNeitherWindowNorGlobalBlocks) {
  const Setting setting{8, 3, 2, 3};
  const Drawn drawn = draw(setting.text(), self_problem(160, 4, 4), 3, 8, 1);
  ASSERT_EQ(drawn.size(), 20u);
  EXPECT_TRUE(drawn[0].empty() && drawn[19].empty());  // these see all
  for (Index own = 1; own < 19; ++own) {
    EXPECT_EQ(drawn[own].size(), 3u);
    for (const Index number : drawn[own]) {
      EXPECT_TRUE(number > 0 && number < 19 && std::abs(number - own) > 1) << own << ": " << number;
    }
  }
}

TEST(BigBird, DrawsAllThatIsLeftWhereTooFewRemain) {
  // Five blocks: the middle one has no other than window and global ones.
  const Drawn drawn = draw(Setting{8, 3, 2, 3}.text(), self_problem(40, 4, 4), 3, 8, 1);
  EXPECT_EQ(drawn[1], (std::set<Index>{3}));
  EXPECT_TRUE(drawn[2].empty());
}

TEST(BigBird, DrawsFromThePastWhereCausal) {
  const Drawn drawn = draw(Setting{8, 3, 2, 3}.text(), self_problem(160, 4, 4, true), 3, 8, 1);
  EXPECT_TRUE(drawn[2].empty());
  EXPECT_EQ(drawn[4], (std::set<Index>{1, 2}));
  for (Index own = 5; own < 19; ++own) {
    EXPECT_EQ(drawn[own].size(), 3u);
    EXPECT_GE(*drawn[own].begin(), 1);
    EXPECT_LT(*drawn[own].rbegin(), own - 1);
  }
}

/// How often each block was drawn for block `own`.
std::vector<double> frequencies(const std::string& text, Index n, Index own, Index random,
                                Index block, std::uint64_t draws) {
  std::vector<double> counts(static_cast<std::size_t>(n / block), 0.0);
  for (std::uint64_t seed = 0; seed < draws; ++seed) {
    const Drawn drawn = draw(text, self_problem(n, 2, 2), random, block, seed);
    for (const Index number : drawn[own]) counts[number] += 1;
  }
  return counts;
}

TEST(BigBird, UniformPlanDrawsEveryBlockEquallyOften) {
  const std::vector<double> counts = frequencies(Setting{4, 3, 2, 3}.text(), 88, 6, 3, 4, 1000);
  for (Index number = 0; number < 22; ++number) {
    const bool seen_anyway = number == 0 || number == 21 || (number >= 5 && number <= 7);
    // 3 of 17 for each draw: 176 of 1000, standard deviation 12.
    EXPECT_NEAR(counts[number], seen_anyway ? 0 : 1000 * 3.0 / 17, seen_anyway ? 0 : 5 * 12.1)
        << number;
  }
}

/// Blocks that are ever drawn for block `own`.
std::set<Index> support(const Setting& setting, Index n, Index own) {
  const std::vector<double> counts =
      frequencies(setting.text(",plan=released"), n, own, setting.random, setting.block, 200);
  std::set<Index> result;
  for (std::size_t number = 0; number < counts.size(); ++number) {
    if (counts[number] > 0) result.insert(static_cast<Index>(number));
  }
  return result;
}

std::set<Index> range(Index begin, Index end, const std::set<Index>& without = {}) {
  std::set<Index> result;
  for (Index i = begin; i < end; ++i) {
    if (!without.contains(i)) result.insert(i);
  }
  return result;
}

TEST(BigBird, ReleasedPlanDrawsFromTheFirst1024KeysAtThePapersLengths) {
  const Setting setting{64, 3, 2, 3};
  EXPECT_EQ(support(setting, 4096, 40), range(1, 16));
  EXPECT_EQ(support(setting, 3072, 3), range(1, 16, {2, 3, 4}));
}

TEST(BigBird, ReleasedPlanDrawsFromTheFirstBlocksAtOtherLengths) {
  // 2 x 3 + 5 = 11 blocks, of which the last is left out.
  const Setting setting{64, 3, 2, 3};
  EXPECT_EQ(support(setting, 2048, 20), range(1, 10));
  EXPECT_EQ(support(setting, 2048, 5), range(1, 10, {4, 5, 6}));
  EXPECT_EQ(support(setting, 2048, 1), range(3, 9));
  // 11 blocks are not more than 11, but more than 8: one of the first 8, two of those behind.
  const Setting small{16, 3, 2, 3};
  EXPECT_EQ(support(small, 16 * 11, 4), range(1, 10, {3, 4, 5, 7}));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Drawn drawn =
        draw(small.text(",plan=released"), self_problem(16 * 11, 2, 2), 3, 16, seed);
    EXPECT_EQ(drawn[4].size(), 3u);
    EXPECT_LT(*drawn[4].begin(), 7);
    EXPECT_EQ(*drawn[4].rbegin(), 9);
  }
  EXPECT_EQ(support(small, 16 * 8, 4), range(1, 7, {3, 4, 5}));
}

TEST(BigBird, RefusesBlocksThatDoNotAscendWithinTheKeys) {
  const auto message = [](std::vector<std::int32_t> loaded) -> std::string {
    VariantTrial trial("bigbird(block=16,random=2)", self_problem(160, 4, 4));
    std::copy(loaded.begin(), loaded.end(), trial.tensors.choices("random_blocks").begin() + 6);
    try {
      trial.forward();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({6, 8}), "");
  EXPECT_EQ(message({6, -1}), "");
  EXPECT_THAT(message({6, 10}), testing::HasSubstr("'random_blocks' holds 10 after 6"));
  EXPECT_THAT(message({6, 10}), testing::HasSubstr("[0, 10)"));
  EXPECT_THAT(message({8, 6}), testing::HasSubstr("holds 6 after 8"));
  EXPECT_THAT(message({-2, 6}), testing::HasSubstr("holds -2"));
}

TEST(BigBird, RefusesWindowsWithoutAMiddleAndCausalReleasedPlans) {
  const auto reason = [](const std::string& text, bool causal) {
    const Problem problem = self_problem(64, 4, 4, causal);
    return make_variant(parse_expression(text), problem)->refuses(problem);
  };
  EXPECT_NE(reason("bigbird(window=2)", false), "");
  EXPECT_EQ(reason("bigbird(window=5)", false), "");
  EXPECT_EQ(reason("bigbird(plan=released)", false), "");
  EXPECT_NE(reason("bigbird(plan=released)", true), "");
}

TEST(BigBird, IsExactInOneBlock) {
  for (const Problem& problem : pattern_problems()) expect_exact("bigbird", problem);
}

TEST(BigBird, DoesNoMoreThanItsBlocks) {
  // Whole blocks of 64 keys, and tiles that end where blocks do.
  const Problem problem = self_problem(2048, 64, 64);
  VariantTrial trial("bigbird", problem);
  trial.forward();
  EXPECT_EQ(trial.executed.multiply_adds, trial.variant->cost(problem).useful.multiply_adds);
}

TEST(BigBird, HidesTheFuture) {
  EXPECT_EQ(rows_that_see_the_future("bigbird(block=8)", self_problem(150, 8, 8, true)), 0);
}

}  // namespace
}  // namespace subquad
