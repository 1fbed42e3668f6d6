#pragma once

// Vector exponentials, shared by the row passes and by the softmax kernel. Static dispatch: the
// code is compiled once, for the instruction set that the build names.

#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "subquad/view.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
template <class T>
inline constexpr Index kLanes = HWY_LANES(T);

// Complete unrolling keeps arrays of vectors in registers.
#if HWY_COMPILER_CLANG
#define SUBQUAD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SUBQUAD_UNROLL _Pragma("GCC unroll 64")
#endif

/// Numbers that the exponentials need, by type.
template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::int32_t;
  static constexpr int kMantissaBits = 23;
  /// Adding it rounds to an integer, which then stands in the low bits of the mantissa.
  static constexpr float kRound = 0x1.8p23f;
  static constexpr float kLowestExp2 = -126.0f;  ///< 2^x is a normal number from here on
  static constexpr float kLowestExp = -87.33654f;
  static constexpr float kHighestExp = 88.72283f;
  static constexpr float kLog2E = 1.44269504f;
  /// ln 2 in two parts, the first with trailing zeros, so that n * kLn2High is exact.
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  /// 2^f = 1 + f c0 + f^2 c1 + ... on [-1/2, 1/2]: relative error 1.6e-8 before rounding
  /// (minimax, constant term held at 1 so that 2^0 is 1).
  static constexpr float kExp2[] = {0.693147182f,   0.240226477f,   0.0555033237f,
                                    0.00961843785f, 0.00133988878f, 0.000153533518f};
  /// e^f likewise, on [-ln 2 / 2, ln 2 / 2]: 1.7e-8.
  static constexpr float kExp[] = {1.0f,          0.49999994f,    0.166664317f,
                                   0.0416680016f, 0.00837416388f, 0.00138436444f};
};

template <>
struct ExpConstants<double> {
  using Bits = std::int64_t;
  static constexpr int kMantissaBits = 52;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kLowestExp2 = -1022.0;
  /// Taylor coefficients ln(2)^k / k!: the remainder on [-1/2, 1/2] is 4e-18 of the value.
  static constexpr double kExp2[] = {
      6.93147180559945309417e-01, 2.40226506959100712334e-01, 5.55041086648215799531e-02,
      9.61812910762847716197e-03, 1.33335581464284434234e-03, 1.54035303933816099544e-04,
      1.52527338040598402800e-05, 1.32154867901443094884e-06, 1.01780860092396997275e-07,
      7.05491162080112332988e-09, 4.44553827187081149760e-10, 2.56784359934882051420e-11,
      1.36914888539041288809e-12};
};

/// c0 + f (c1 + ...).
template <class T, std::size_t kCount>
HWY_INLINE Vec<T> polynomial(Vec<T> f, const T (&coefficients)[kCount]) {
  const Tag<T> d;
  Vec<T> value = hn::Set(d, coefficients[kCount - 1]);
  SUBQUAD_UNROLL
  for (std::size_t i = 1; i < kCount; ++i) {
    value = hn::MulAdd(value, f, hn::Set(d, coefficients[kCount - 1 - i]));
  }
  return value;
}

/// 1 + f (c0 + f (c1 + ...)).
template <class T, std::size_t kCount>
HWY_INLINE Vec<T> one_plus_polynomial(Vec<T> f, const T (&coefficients)[kCount]) {
  return hn::MulAdd(polynomial<T>(f, coefficients), f, hn::Set(Tag<T>(), T{1}));
}

/// value * 2^n, where `shifted` is n + kRound: n goes straight into the exponent's bits. The result
/// must be a normal number.
template <class T>
HWY_INLINE Vec<T> scale_by_power(Vec<T> value, Vec<T> shifted) {
  using Constants = ExpConstants<T>;
  const hn::Rebind<typename Constants::Bits, Tag<T>> integers;
  const auto exponent = hn::ShiftLeft<Constants::kMantissaBits>(hn::BitCast(integers, shifted));
  return hn::BitCast(Tag<T>(), hn::Add(hn::BitCast(integers, value), exponent));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define SUBQUAD_HAS_SCALEF 1

/// 2^x as 2^floor(x) 2^(x - floor(x)), where both parts take one instruction: 10 operations instead
/// of 14. The polynomial of degree five, minimax in relative error on [0, 1] with its constant term
/// held at 1, is off by 9.4e-8 at the most, before rounding.
HWY_INLINE Vec<float> exp2_by_scalef(Vec<float> x) {
  static constexpr float kExp2[] = {0.693151295f, 0.240164444f, 0.0557999127f, 0.00901703071f,
                                    0.00186713005f};
  constexpr int kFloor = 1;  // keep no bits after the point, round down
  const Vec<float> fraction{_mm512_reduce_ps(x.raw, kFloor)};
  const Vec<float> power = one_plus_polynomial<float>(fraction, kExp2);
  const __mmask16 normal =
      _mm512_cmp_ps_mask(x.raw, _mm512_set1_ps(ExpConstants<float>::kLowestExp2), _CMP_NLT_UQ);
  return Vec<float>{_mm512_maskz_scalef_ps(normal, power.raw, x.raw)};
}
#else
#define SUBQUAD_HAS_SCALEF 0
#endif

/// 2^x for x <= 64; 0 where 2^x would not be a normal number (-infinity too), NaN for NaN. Relative
/// error below 2 ulp.
template <class T>
HWY_INLINE Vec<T> exp2_of(Vec<T> x) {
#if SUBQUAD_HAS_SCALEF
  if constexpr (std::is_same_v<T, float>) return exp2_by_scalef(x);
#endif
  using Constants = ExpConstants<T>;
  const Tag<T> d;
  const Vec<T> shifted = hn::Add(x, hn::Set(d, Constants::kRound));
  const Vec<T> f = hn::Sub(x, hn::Sub(shifted, hn::Set(d, Constants::kRound)));
  const Vec<T> power = scale_by_power<T>(one_plus_polynomial<T>(f, Constants::kExp2), shifted);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, Constants::kLowestExp2)), power);
}

/// e^x over the whole range: 0 below the smallest normal number, infinity above the largest.
/// Relative error below 2 ulp.
HWY_INLINE Vec<float> exp_of(Vec<float> x) {
  using Constants = ExpConstants<float>;
  const Tag<float> d;
  const auto shifted = hn::MulAdd(x, hn::Set(d, Constants::kLog2E), hn::Set(d, Constants::kRound));
  const auto n = hn::Sub(shifted, hn::Set(d, Constants::kRound));
  auto f = hn::NegMulAdd(n, hn::Set(d, Constants::kLn2High), x);
  f = hn::NegMulAdd(n, hn::Set(d, Constants::kLn2Low), f);
  auto power = scale_by_power<float>(one_plus_polynomial<float>(f, Constants::kExp), shifted);
  power = hn::IfThenElse(hn::Gt(x, hn::Set(d, Constants::kHighestExp)),
                         hn::Set(d, std::numeric_limits<float>::infinity()), power);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, Constants::kLowestExp)), power);
}

/// tanh(x), odd, +-1 from |x| = 10 on, NaN for NaN. Relative error below 4 ulp, also near 0, where
/// the usual difference of exponentials cancels: with e = e^(-2|x|) - 1, it is -e / (2 + e), and e
/// is 2^n (2^f - 1) + (2^n - 1) with no power taken apart from its 1 before the end.
template <class T>
HWY_INLINE Vec<T> tanh_of(Vec<T> x) {
  using Constants = ExpConstants<T>;
  constexpr double kMinusTwoLog2E = -2.88539008177792681472;
  constexpr double kSaturated = std::is_same_v<T, float> ? 10 : 20;
  const Tag<T> d;
  const auto one = hn::Set(d, T{1}), most = hn::Set(d, static_cast<T>(kSaturated));
  const auto size = hn::Abs(x);
  // One rounding of the exponent: what that costs is |x| e^(-2|x|) times as much in the result.
  const auto exponent = hn::Mul(hn::IfThenElse(hn::Gt(size, most), most, size),
                                hn::Set(d, static_cast<T>(kMinusTwoLog2E)));
  const auto shifted = hn::Add(exponent, hn::Set(d, Constants::kRound));
  const auto f = hn::Sub(exponent, hn::Sub(shifted, hn::Set(d, Constants::kRound)));
  const auto power = scale_by_power<T>(one, shifted);
  const auto below_one = hn::Mul(f, polynomial<T>(f, Constants::kExp2));
  const auto e = hn::MulAdd(power, below_one, hn::Sub(power, one));
  return hn::CopySign(hn::Div(e, hn::Sub(hn::Set(d, T{-2}), e)), x);
}

/// The first `count` lanes of memory, `other` in the rest, which is not read.
template <class T>
HWY_INLINE Vec<T> load_first(const T* from, Index count, T other) {
  const Tag<T> d;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(count));
  return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, from), hn::Set(d, other));
}

template <class T>
HWY_INLINE void store_first(Vec<T> value, Index count, T* to) {
  const Tag<T> d;
  hn::BlendedStore(value, hn::FirstN(d, static_cast<std::size_t>(count)), d, to);
}

/// values[i] *= factor for whole vectors up to `count`.
template <class T>
HWY_INLINE void scale_vectors(T* values, Index count, T factor) {
  const Tag<T> d;
  const auto factors = hn::Set(d, factor);
  for (Index i = 0; i < count; i += kLanes<T>) {
    hn::StoreU(hn::Mul(hn::LoadU(d, values + i), factors), d, values + i);
  }
}

/// Sum of one vector's lanes at `from`, in double.
HWY_INLINE double sum_in_double(const float* from) {
  const Tag<double> d;
  const hn::Rebind<float, Tag<double>> floats;
  const auto low = hn::PromoteTo(d, hn::LoadU(floats, from));
  const auto high = hn::PromoteTo(d, hn::LoadU(floats, from + kLanes<double>));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}
HWY_INLINE double sum_in_double(const double* from) {
  const Tag<double> d;
  return hn::GetLane(hn::SumOfLanes(d, hn::LoadU(d, from)));
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
