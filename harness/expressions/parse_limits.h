#pragma once

#include <cstddef>

namespace subquad {

/// Limits of what a user may write, so that no text can exhaust stack or memory.
inline constexpr std::size_t kMaxExpressionLength = 10000;
inline constexpr int kMaxNestingDepth = 32;
inline constexpr std::size_t kMaxSweepSize = 100000;
inline constexpr std::size_t kMaxSweepBytes = std::size_t{64} << 20;

}  // namespace subquad
