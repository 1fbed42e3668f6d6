#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "records/machine.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

/// Two pipes with a latency of four or five cycles need eight or ten chains; with two operands
/// fourteen fill the sixteen registers that there are without AVX-512.
constexpr int kChains = 14;

/// Multiply-adds of two flops each; nothing but registers takes part.
double fma_flops(std::int64_t steps, float& result) {
  const Floats d;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, 0.001f);
  // Each starts elsewhere, or the compiler would see that all are one.
  float start = result;
  const auto next = [&]() HWY_ATTR { return hn::Set(d, start += 0.01f); };
  auto a0 = next(), a1 = next(), a2 = next(), a3 = next(), a4 = next(), a5 = next(), a6 = next();
  auto a7 = next(), a8 = next(), a9 = next(), a10 = next(), a11 = next(), a12 = next();
  auto a13 = next();
  for (std::int64_t step = 0; step < steps; ++step) {
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
  // The sum is used, or the loop would be left out.
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  result = hn::GetLane(hn::Add(hn::Add(low, high), hn::Add(a12, a13)));
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * static_cast<double>(steps);
}

/// In place over values that the first-level cache holds.
double exponentials(std::vector<float>& values) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i + lanes <= values.size(); i += lanes) {
    // Stays between -1 and 0 for ever.
    const auto power = hn::Exp(d, hn::LoadU(d, values.data() + i));
    hn::StoreU(hn::Neg(power), d, values.data() + i);
  }
  return static_cast<double>(values.size());
}

float sum(const std::vector<float>& values) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::size_t i = 0; i + 4 * lanes <= values.size(); i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, values.data() + i));
    b = hn::Add(b, hn::LoadU(d, values.data() + i + lanes));
    c = hn::Add(c, hn::LoadU(d, values.data() + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, values.data() + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

}  // namespace
}  // namespace HWY_NAMESPACE

namespace {

namespace target = HWY_NAMESPACE;

double steady_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// Highest rate of several runs: whatever else runs on the machine can only slow one down.
template <class Work>
double best_rate(int runs, Work&& work) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    const double begin = steady_seconds();
    const double done = work();
    best = std::max(best, done / (steady_seconds() - begin));
  }
  return best;
}

}  // namespace

Peak measure_peak() {
  // The sums end up here: what is never read need not be computed.
  volatile float sink = 0;
  float result = 0;
  Peak peak;
  peak.fma_gflops = best_rate(12, [&] { return target::fma_flops(500'000, result); }) * 1e-9;
  std::vector<float> values(4096, -0.5f);
  peak.exp_per_second = best_rate(12, [&] {
    double done = 0;
    for (int pass = 0; pass < 500; ++pass) done += target::exponentials(values);
    return done;
  });
  const std::vector<float> block(kPeakReadBytes / sizeof(float), 1.0f);
  peak.read_bytes_per_s = best_rate(4, [&] {
    result += target::sum(block);
    return static_cast<double>(kPeakReadBytes);
  });
  sink = result + values[0];
  static_cast<void>(sink);
  return peak;
}

const char* kernel_instruction_set() { return hwy::TargetName(HWY_TARGET); }

}  // namespace subquad
HWY_AFTER_NAMESPACE();
