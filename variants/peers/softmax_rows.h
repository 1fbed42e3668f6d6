#pragma once

// Exponentials of the rows that a library's product leaves, between one product and the next: peers
// have them as fast as this project's own kernel has (and the passes of kernels/rowwise.h for the
// rest), so that what is compared is the library.

#include <algorithm>
#include <limits>

#include "kernels/rowwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad::HWY_NAMESPACE {

/// scores[i] = 2^(scores[i] - shift), where no score exceeds the shift; returns the sum.
inline float exp2_pass(float* scores, Index count, float shift) {
  constexpr Index kStep = kLanes<float>;
  const Tag<float> d;
  const auto shifts = hn::Set(d, shift);
  Vec<float> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  Index i = 0;
  for (; i + 4 * kStep <= count; i += 4 * kStep) {
    SUBQUAD_UNROLL
    for (Index part = 0; part < 4; ++part) {
      float* const at = scores + i + part * kStep;
      const auto power = exp2_of<float>(hn::Sub(hn::LoadU(d, at), shifts));
      hn::StoreU(power, d, at);
      sums[part] = hn::Add(sums[part], power);
    }
  }
  for (; i < count; i += kStep) {
    const Index left = std::min(kStep, count - i);
    const auto score = load_first<float>(scores + i, left, -std::numeric_limits<float>::infinity());
    const auto power = exp2_of<float>(hn::Sub(score, shifts));
    store_first<float>(power, left, scores + i);
    sums[0] = hn::Add(sums[0], power);
  }
  return hn::GetLane(
      hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
}

}  // namespace subquad::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
