#include "records/peak_probe.h"

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "records/bf16_units.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Two pipes with a latency of four or five cycles need eight or ten chains; with two operands
/// fourteen fill the sixteen registers that there are without AVX-512.
constexpr int kChains = 14;
constexpr int kSteps = 8192;

/// Multiply-adds of two flops each; nothing but registers takes part.
template <class T>
double multiply_add() {
  const hn::ScalableTag<T> d;
  // Read anew in every call, and the sum written: otherwise the compiler could do the work once.
  volatile T start = T(0.5);
  volatile T sink = 0;
  T first = start;
  const auto factor = hn::Set(d, T(0.999)), term = hn::Set(d, T(0.001));
  // Each starts elsewhere, or the compiler would see that all are one.
  const auto next = [&]() HWY_ATTR { return hn::Set(d, first += T(0.01)); };
  auto a0 = next(), a1 = next(), a2 = next(), a3 = next(), a4 = next(), a5 = next(), a6 = next();
  auto a7 = next(), a8 = next(), a9 = next(), a10 = next(), a11 = next(), a12 = next();
  auto a13 = next();
  for (int step = 0; step < kSteps; ++step) {
    a0 = hn::MulAdd(a0, factor, term);
    a1 = hn::MulAdd(a1, factor, term);
    a2 = hn::MulAdd(a2, factor, term);
    a3 = hn::MulAdd(a3, factor, term);
    a4 = hn::MulAdd(a4, factor, term);
    a5 = hn::MulAdd(a5, factor, term);
    a6 = hn::MulAdd(a6, factor, term);
    a7 = hn::MulAdd(a7, factor, term);
    a8 = hn::MulAdd(a8, factor, term);
    a9 = hn::MulAdd(a9, factor, term);
    a10 = hn::MulAdd(a10, factor, term);
    a11 = hn::MulAdd(a11, factor, term);
    a12 = hn::MulAdd(a12, factor, term);
    a13 = hn::MulAdd(a13, factor, term);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  sink = hn::GetLane(hn::Add(hn::Add(low, high), hn::Add(a12, a13)));
  static_cast<void>(sink);
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * kSteps;
}

}  // namespace
}  // namespace HWY_NAMESPACE

double multiply_from_registers(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::float32:
      return HWY_NAMESPACE::multiply_add<float>();
    case Arithmetic::float64:
      return HWY_NAMESPACE::multiply_add<double>();
    case Arithmetic::bf16:
      return multiply_bf16_tiles();
  }
  return 0;
}

PeakProbe::PeakProbe(Arithmetic arithmetic, int threads) : arithmetic_(arithmetic) {
  constexpr int kWindows = 4;
  constexpr double kSeconds = 0.25e-3;
  for (int i = 0; i < kWindows; ++i) windows_.emplace_back(threads, kSeconds);
}

void PeakProbe::take_part() {
  for (CommonWindow& window : windows_) {
    window.take_part([this] { return multiply_from_registers(arithmetic_); });
  }
}

double PeakProbe::gflops() const {
  double best = 0;
  for (const CommonWindow& window : windows_) best = std::max(best, window.rate());
  return best * 1e-9;
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
