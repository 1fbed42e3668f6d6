#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "subquad/registry.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

std::unique_ptr<Variant> make(std::string_view name) {
  for (const Registration* at = local_registrations; at != nullptr; at = at->next) {
    if (at->info.name == name) return at->make();
  }
  return nullptr;
}

/// The drawn keys of each block; 64 keys for each 64 queries by default.
std::vector<std::vector<std::int32_t>> draw(const Problem& problem, std::uint64_t seed) {
  const std::unique_ptr<Variant> variant = make("random_pattern");
  const DrawnMapTensors tensors(*variant, problem, seed);
  const std::span<const std::int32_t> keys = tensors.integers("keys");
  const auto width = static_cast<std::size_t>(std::min<Index>(64, problem.keys));
  std::vector<std::vector<std::int32_t>> blocks;
  for (std::size_t begin = 0; begin < keys.size(); begin += width) {
    const auto block = keys.subspan(begin, width);
    blocks.emplace_back(block.begin(), std::find(block.begin(), block.end(), -1));
  }
  return blocks;
}

TEST(RandomPattern, DrawsWithoutReplacementAndInOrder) {
  const auto blocks = draw({.queries = 1000, .keys = 300, .dim = 4, .value_dim = 4}, 1);
  ASSERT_EQ(blocks.size(), 16u);
  for (const auto& block : blocks) {
    ASSERT_EQ(block.size(), 64u);
    EXPECT_GE(block.front(), 0);
    EXPECT_LT(block.back(), 300);
    for (std::size_t i = 1; i < block.size(); ++i) EXPECT_LT(block[i - 1], block[i]);
  }
  EXPECT_NE(blocks[0], blocks[1]);
}

TEST(RandomPattern, CausalBlocksDrawFromWhatLiesBeforeTheirEnd) {
  const auto blocks = draw(
      {.queries = 200, .keys = 230, .dim = 4, .value_dim = 4, .causal = true, .first_query = 30},
      2);
  ASSERT_EQ(blocks.size(), 4u);
  for (std::size_t b = 0; b < 4; ++b) {
    EXPECT_EQ(blocks[b].size(), 64u);
    EXPECT_LT(blocks[b].back(), 30 + std::min<Index>(64 * (static_cast<Index>(b) + 1), 200));
  }
  // Fewer than 64 keys lie before the end of this block: it gets all of them.
  const auto few = draw({.queries = 40, .keys = 40, .dim = 4, .value_dim = 4, .causal = true}, 3);
  ASSERT_EQ(few.size(), 1u);
  EXPECT_EQ(few[0].size(), 40u);
}

TEST(RandomPattern, DrawsEveryKeyEquallyOften) {
  std::vector<double> counts(256, 0.0);
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    for (const auto& block : draw({.queries = 128, .keys = 256, .dim = 4, .value_dim = 4}, seed)) {
      for (const std::int32_t key : block) counts[key] += 1;
    }
  }
  // 1000 draws of a quarter of the keys: 250 times each, standard deviation 13.7.
  for (const double count : counts) EXPECT_NEAR(count, 250, 5 * 13.7);
}

}  // namespace
}  // namespace subquad
