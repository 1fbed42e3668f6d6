#include "kernels/bf16-inl.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"
#include "support/bf16.h"

namespace subquad {
namespace {

using HWY_NAMESPACE::kLanes;
using HWY_NAMESPACE::round_to_bf16;
namespace hn = hwy::HWY_NAMESPACE;

float rounded(float x) {
  const HWY_NAMESPACE::Tag<float> d;
  float lanes[kLanes<float>];
  hn::StoreU(round_to_bf16(hn::Set(d, x)), d, lanes);
  return lanes[0];
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(rounded(1), 1);
  EXPECT_EQ(rounded(1 + 0x1p-8f), 1);
  EXPECT_EQ(rounded(1 + 0x1p-8f + 0x1p-23f), 1 + 0x1p-7f);
  EXPECT_EQ(rounded(1 + 0x3p-8f), 1 + 0x1p-6f);
  EXPECT_EQ(rounded(-1 - 0x3p-8f), -1 - 0x1p-6f);
  EXPECT_EQ(rounded(2 - 0x1p-8f), 2);
  Generator random(3);
  for (int i = 0; i < 100000; ++i) {
    const float x = static_cast<float>(std::exp(40 * random.normal()) * random.normal());
    if (!std::isnormal(x) || std::abs(x) > 1e38f) continue;
    EXPECT_EQ(rounded(x), to_bf16(x)) << x;
    EXPECT_LE(std::abs(rounded(x) - x), 0x1p-8f * std::abs(x)) << x;
  }
}

TEST(Bf16, KeepsWhatIsNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(kInfinity), kInfinity);
  EXPECT_EQ(rounded(-kInfinity), -kInfinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_TRUE(std::signbit(rounded(-0.0f)));
  // A payload of ones must not carry over into the sign.
  for (const std::uint32_t bits : {0x7fc00000u, 0x7fffffffu, 0xffffffffu, 0x7f800001u}) {
    EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(bits)))) << bits;
  }
}

}  // namespace
}  // namespace subquad
