#include "subquad/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace subquad {
namespace {

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(Philox, MatchesPublishedVectors) {
  using Block = Generator::Block;
  EXPECT_EQ(Generator::philox({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      Generator::philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      Generator::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Generator, NormalHasTheMomentsOfANormal) {
  Generator random(7);
  double sum = 0, squares = 0, fourths = 0;
  constexpr int kDraws = 400000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  // Five standard errors of each moment.
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(fourths / kDraws, 3, 5 * std::sqrt(96.0 / kDraws));
}

// The distribution function of the quantile is the probability, to what its own rounding allows.
TEST(Generator, NormalQuantileInvertsTheDistributionFunction) {
  for (double p : {0x1p-33, 1e-9, 1e-4, 0.02, 0.0749, 0.0751, 0.3, 0.5, 0.7, 0.9251, 0.999}) {
    p = std::max(std::round(p * 0x1p33), 1.0) * 0x1p-33;  // such as generators make
    const double below = 0.5 * std::erfc(-Generator::normal_quantile(p) / std::sqrt(2.0));
    EXPECT_NEAR(below / p, 1, 1e-13) << p;
    EXPECT_NEAR(Generator::normal_quantile(1 - p), -Generator::normal_quantile(p),
                1e-15 / std::min(p, 1 - p))
        << p;
  }
}

TEST(Generator, ManyNormalsAreTheSameAsOneByOne) {
  Generator many(5), single(5);
  many.bits();
  single.bits();
  std::vector<float> values(1003);
  many.normals(values, 2.5);
  for (const float value : values) ASSERT_EQ(value, static_cast<float>(2.5 * single.normal()));
  EXPECT_EQ(many.bits(), single.bits());
}

TEST(Generator, BelowIsUniform) {
  Generator random(11);
  int counts[7] = {};
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++counts[random.below(7)];
  double chi_square = 0;
  for (int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 22.5);  // 99.9 % point of 6 degrees of freedom
}

TEST(Generator, StreamsAndKeysDiffer) {
  EXPECT_NE(Generator(1).bits(), Generator(2).bits());
  EXPECT_NE(Generator(1, 0).bits(), Generator(1, 1).bits());
  EXPECT_EQ(Generator(1, 1).bits(), Generator(1, 1).bits());
}

}  // namespace
}  // namespace subquad
