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

void elu_pass(ConstView rows, View to) {
  const Tag<float> d;
  const auto zero = hn::Zero(d), log2_e = hn::Set(d, ExpConstants<float>::kLog2E);
  const auto map = [=](Vec<float> x) HWY_ATTR {
    // One rounding of the exponent in place of two parts: what it costs is below x ulp.
    return hn::Add(exp2_of<float>(hn::Mul(hn::Min(x, zero), log2_e)), hn::Max(x, zero));
  };
  for (Index r = 0; r < rows.rows; ++r) {
    const float* const from = rows.row(r);
    float* const at = to.row(r);
    Index i = 0;
    for (; i + kStep <= rows.cols; i += kStep) hn::StoreU(map(hn::LoadU(d, from + i)), d, at + i);
    const Index left = rows.cols - i;
    if (left > 0) store_first<float>(map(load_first(from + i, left, 0.0f)), left, at + i);
  }
}

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|), and Phi(-a) = e^(-a^2 / 2) t p(t) with t = 1 / (1 + a c):
/// what stands before t p(t) takes the whole fall, so that the tail keeps its digits.
HWY_INLINE Vec<float> gelu_of(Vec<float> x) {
  // c by trial; p of degree 8, minimax in relative error for a below 13.5: 2.2e-8.
  static constexpr float kC = 0.26f;
  static constexpr float kTail[] = {0.103761263f,  0.102980219f,  0.10328538f,
                                    0.0500470959f, 0.163220152f,  -0.154206067f,
                                    0.254317552f,  -0.154189155f, 0.0307835564f};
  static constexpr float kNoTail = 13.5f;  // e^(-a^2 / 2) is 0 from 13.3 on
  const Tag<float> d;
  const auto size = hn::Abs(x), half = hn::Set(d, 0.5f);
  // In this order of operands a not-a-number stays one.
  const auto a = hn::IfThenElse(hn::Gt(size, hn::Set(d, kNoTail)), hn::Set(d, kNoTail), size);
  const auto t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(a, hn::Set(d, kC), hn::Set(d, 1.0f)));
  auto p = hn::Set(d, kTail[8]);
  SUBQUAD_UNROLL
  for (int i = 7; i >= 0; --i) p = hn::MulAdd(p, t, hn::Set(d, kTail[i]));
  // The exponential of the square's rounding error too: it is several units of the last place.
  const auto square = hn::Mul(a, a);
  const auto rest = hn::Mul(hn::MulSub(a, a, square), half);
  const auto power = exp_of(hn::Neg(hn::Mul(square, half)));
  const auto fall = hn::NegMulAdd(power, rest, power);
  const auto tail = hn::Mul(hn::Mul(a, t), hn::Mul(fall, p));
  return hn::Sub(hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x), tail);
}

void gelu_pass(float* values, Index count) {
  const Tag<float> d;
  Index i = 0;
  for (; i + kStep <= count; i += kStep) {
    hn::StoreU(gelu_of(hn::LoadU(d, values + i)), d, values + i);
  }
  if (i < count) {
    store_first<float>(gelu_of(load_first(values + i, count - i, 0.0f)), count - i, values + i);
  }
}

/// Sum of map(values[i]), in four chains.
template <class Map>
HWY_INLINE float sum_of(const float* values, Index count, Map map) {
  const Tag<float> d;
  Vec<float> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  Index i = 0;
  for (; i + 4 * kStep <= count; i += 4 * kStep) {
    SUBQUAD_UNROLL
    for (Index part = 0; part < 4; ++part) {
      sums[part] = hn::Add(sums[part], map(hn::LoadU(d, values + i + part * kStep)));
    }
  }
  for (; i + kStep <= count; i += kStep) {
    sums[0] = hn::Add(sums[0], map(hn::LoadU(d, values + i)));
  }
  float rest = 0;
  if (i < count) {
    float last[HWY_LANES(float)];
    hn::StoreU(map(load_first(values + i, count - i, 0.0f)), d, last);
    for (Index lane = 0; lane < count - i; ++lane) rest += last[lane];
  }
  return rest + hn::GetLane(hn::SumOfLanes(
                    d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
}

void layer_norm_pass(ConstView rows, const float* gain, const float* shift, float epsilon,
                     View to) {
  const Tag<float> d;
  const auto count = static_cast<float>(rows.cols);
  for (Index r = 0; r < rows.rows; ++r) {
    const float* const from = rows.row(r);
    float* const at = to.row(r);
    const float mean = sum_of(from, rows.cols, [](Vec<float> x) HWY_ATTR { return x; }) / count;
    const auto means = hn::Set(d, mean);
    // Of differences, because the mean of squares would lose what a large mean takes.
    const float variance = sum_of(from, rows.cols,
                                  [=](Vec<float> x) HWY_ATTR {
                                    const auto difference = hn::Sub(x, means);
                                    return hn::Mul(difference, difference);
                                  }) /
                           count;
    const auto factors = hn::Set(d, 1 / std::sqrt(variance + epsilon));
    const auto normed = [=](Index i, Index left) HWY_ATTR {
      const auto part = [=](const float* values) HWY_ATTR {
        return left >= kStep ? hn::LoadU(d, values + i) : load_first(values + i, left, 0.0f);
      };
      auto value = hn::Mul(hn::Sub(part(from), means), factors);
      if (gain != nullptr) value = hn::Mul(value, part(gain));
      return shift != nullptr ? hn::Add(value, part(shift)) : value;
    };
    Index i = 0;
    for (; i + kStep <= rows.cols; i += kStep) hn::StoreU(normed(i, kStep), d, at + i);
    if (i < rows.cols) {
      const Index left = rows.cols - i;
      store_first<float>(normed(i, left), left, at + i);
    }
  }
}

template <class T>
void tanh_pass(T* values, Index count) {
  const Tag<T> d;
  Index i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) {
    hn::StoreU(tanh_of<T>(hn::LoadU(d, values + i)), d, values + i);
  }
  if (i < count) {
    store_first<T>(tanh_of<T>(load_first(values + i, count - i, T{0})), count - i, values + i);
  }
}

/// Some vectors of columns; chains side by side hide the latency of a division.
template <Index kVectors>
HWY_INLINE void sum_columns(ConstView rows, const float* shifts, const float* weights, Index first,
                            Index count, float* sums) {
  const Tag<float> d;
  Vec<float> totals[kVectors];
  for (auto& total : totals) total = hn::Zero(d);
  for (Index h = 0; h < rows.rows; ++h) {
    const float* const row = rows.row(h) + first;
    const auto shift = hn::Set(d, shifts[h]), weight = hn::Set(d, weights[h]);
    SUBQUAD_UNROLL
    for (Index v = 0; v < kVectors; ++v) {
      const auto x = kVectors > 1 ? hn::LoadU(d, row + v * kStep) : load_first(row, count, 0.0f);
      totals[v] = hn::MulAdd(weight, tanh_of<float>(hn::Add(x, shift)), totals[v]);
    }
  }
  if constexpr (kVectors == 1) {
    store_first<float>(totals[0], count, sums + first);
  } else {
    for (Index v = 0; v < kVectors; ++v) hn::StoreU(totals[v], d, sums + first + v * kStep);
  }
}

void sum_of_tanh_pass(ConstView rows, const float* shifts, const float* weights, float* sums) {
  constexpr Index kVectors = 4;
  Index j = 0;
  for (; j + kVectors * kStep <= rows.cols; j += kVectors * kStep) {
    sum_columns<kVectors>(rows, shifts, weights, j, kVectors * kStep, sums);
  }
  for (; j < rows.cols; j += kStep) {
    sum_columns<1>(rows, shifts, weights, j, std::min(kStep, rows.cols - j), sums);
  }
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

void elu_plus_one(ConstView rows, View to) { HWY_STATIC_DISPATCH(elu_pass)(rows, to); }

void gelu_in_place(std::span<float> values) {
  HWY_STATIC_DISPATCH(gelu_pass)(values.data(), static_cast<Index>(values.size()));
}

void layer_norm(ConstView rows, const float* gain, const float* shift, float epsilon, View to) {
  HWY_STATIC_DISPATCH(layer_norm_pass)(rows, gain, shift, epsilon, to);
}

void tanh_in_place(std::span<float> values) {
  HWY_STATIC_DISPATCH(tanh_pass<float>)(values.data(), static_cast<Index>(values.size()));
}

void tanh_in_place(std::span<double> values) {
  HWY_STATIC_DISPATCH(tanh_pass<double>)(values.data(), static_cast<Index>(values.size()));
}

void sum_of_tanh(ConstView rows, const float* shifts, const float* weights, float* sums) {
  HWY_STATIC_DISPATCH(sum_of_tanh_pass)(rows, shifts, weights, sums);
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
