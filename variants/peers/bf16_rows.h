#pragma once

// Rounding rows of float32 to bf16, to the nearest and to even, by the processor's instruction
// where the build knows it.

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

#include "subquad/view.h"

namespace subquad {

/// The upper half of a float.
using Bf16 = std::uint16_t;

inline float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<Bf16>(bits >> 16 | 0x40);  // NaN
  return static_cast<Bf16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// to[i] = from[i] * factor, rounded. `to` may be `from`'s own memory.
inline void round_row(const float* from, Index count, float factor, Bf16* to) {
  Index i = 0;
#ifdef __AVX512BF16__
  const __m512 factors = _mm512_set1_ps(factor);
  for (; i + 32 <= count; i += 32) {
    const __m512 low = _mm512_mul_ps(_mm512_loadu_ps(from + i), factors);
    const __m512 high = _mm512_mul_ps(_mm512_loadu_ps(from + i + 16), factors);
    const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
    std::memcpy(static_cast<void*>(to + i), &both, sizeof both);
  }
#endif
  for (; i < count; ++i) {
    float value;
    std::memcpy(&value, from + i, sizeof value);
    const Bf16 rounded = to_bf16(value * factor);
    std::memcpy(static_cast<void*>(to + i), &rounded, sizeof rounded);
  }
}

}  // namespace subquad
