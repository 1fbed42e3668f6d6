#pragma once

// Numbers of 16 bits with the exponent of a float and 7 bits after the point ("bf16"): rounding to
// nearest even, relative error at most 2^-8.

#include <cstdint>

#include "kernels/rowwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// The nearest bf16 numbers, as floats. Not-a-numbers stay what they are.
HWY_INLINE Vec<float> round_to_bf16(Vec<float> x) {
  const Tag<float> d;
  const hn::Rebind<std::uint32_t, Tag<float>> bits;
  const auto given = hn::BitCast(bits, x);
  const auto odd = hn::And(hn::ShiftRight<16>(given), hn::Set(bits, 1));
  const auto rounded =
      hn::And(hn::Add(given, hn::Add(odd, hn::Set(bits, 0x7fff))), hn::Set(bits, 0xffff0000));
  return hn::IfThenElse(hn::Eq(x, x), hn::BitCast(d, rounded), x);
}

inline float round_to_bf16(float x) { return hn::GetLane(round_to_bf16(hn::Set(Tag<float>(), x))); }

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
