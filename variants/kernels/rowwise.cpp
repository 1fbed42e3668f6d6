#include "kernels/rowwise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/rowwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Index kStep = kLanes<float>;

/// Replaces values[i] by exp(values[i] - shift) and returns the sum of the results. Four
/// sums side by side hide the latency of additions, and shorten the chain that rounds.
float exp_pass(float* values, Index count, float shift) {
  const Tag<float> d;
  const auto shifts = hn::Set(d, shift);
  Vec<float> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  Index i = 0;
  for (; i + 4 * kStep <= count; i += 4 * kStep) {
    SUBQUAD_UNROLL
    for (Index part = 0; part < 4; ++part) {
      float* const at = values + i + part * kStep;
      const auto power = exp_of(hn::Sub(hn::LoadU(d, at), shifts));
      hn::StoreU(power, d, at);
      sums[part] = hn::Add(sums[part], power);
    }
  }
  for (; i < count; i += kStep) {
    const Index left = std::min(kStep, count - i);
    const auto power = exp_of(hn::Sub(load_first<float>(values + i, left, -kInfinity), shifts));
    store_first<float>(power, left, values + i);
    sums[0] = hn::Add(sums[0], power);
  }
  return hn::GetLane(
      hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
}

void elu_pass(const float* values, Index count, float* to) {
  const Tag<float> d;
  const auto zero = hn::Zero(d);
  const auto map = [=](Vec<float> x)
                       HWY_ATTR { return hn::Add(exp_of(hn::Min(x, zero)), hn::Max(x, zero)); };
  Index i = 0;
  for (; i + kStep <= count; i += kStep) hn::StoreU(map(hn::LoadU(d, values + i)), d, to + i);
  if (i < count)
    store_first<float>(map(load_first(values + i, count - i, 0.0f)), count - i, to + i);
}

float max_pass(const float* values, Index count) {
  const Tag<float> d;
  auto first = hn::Set(d, -kInfinity), second = first;
  Index i = 0;
  for (; i + 2 * kStep <= count; i += 2 * kStep) {
    first = hn::Max(first, hn::LoadU(d, values + i));
    second = hn::Max(second, hn::LoadU(d, values + i + kStep));
  }
  for (; i < count; i += kStep) {
    first = hn::Max(first, load_first(values + i, std::min(kStep, count - i), -kInfinity));
  }
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(first, second)));
}

void scale_pass(float* values, Index count, float factor) {
  const Tag<float> d;
  const auto factors = hn::Set(d, factor);
  Index i = 0;
  for (; i + kStep <= count; i += kStep) {
    hn::StoreU(hn::Mul(hn::LoadU(d, values + i), factors), d, values + i);
  }
  if (i < count) {
    store_first<float>(hn::Mul(load_first(values + i, count - i, 0.0f), factors), count - i,
                       values + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE

float exp_minus(std::span<float> values, float shift) {
  return HWY_STATIC_DISPATCH(exp_pass)(values.data(), static_cast<Index>(values.size()), shift);
}

void elu_plus_one(std::span<const float> values, std::span<float> to) {
  HWY_STATIC_DISPATCH(elu_pass)(values.data(), static_cast<Index>(values.size()), to.data());
}

float max_of(std::span<const float> values) {
  return HWY_STATIC_DISPATCH(max_pass)(values.data(), static_cast<Index>(values.size()));
}

void scale_by(std::span<float> values, float factor) {
  HWY_STATIC_DISPATCH(scale_pass)(values.data(), static_cast<Index>(values.size()), factor);
}

float softmax_in_place(std::span<float> values) {
  const float maximum = max_of(values);
  if (maximum == -std::numeric_limits<float>::infinity()) {
    for (float& value : values) value = 0;
    return maximum;
  }
  const float sum = exp_minus(values, maximum);
  scale_by(values, 1 / sum);
  return static_cast<float>(maximum + std::log(static_cast<double>(sum)));
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
