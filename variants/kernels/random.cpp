#include "subquad/random.h"

#include <algorithm>
#include <cmath>

namespace subquad {
namespace {

/// Lowest coefficient first.
template <std::size_t kCount>
double polynomial(const double (&coefficients)[kCount], double x) {
  double value = coefficients[kCount - 1];
  for (std::size_t i = kCount - 1; i-- > 0;) value = value * x + coefficients[i];
  return value;
}

// Coefficients of PPND16: a and b within |p - 1/2| <= 0.425, c and d beyond. Its third pair, for
// probabilities below 1.4e-11, is never needed here.
constexpr double kA[] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                         1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                         3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr double kB[] = {1,
                         4.2313330701600911252e1,
                         6.8718700749205790830e2,
                         5.3941960214247511077e3,
                         2.1213794301586595867e4,
                         3.9307895800092710610e4,
                         2.8729085735721942674e4,
                         5.2264952788528545610e3};
constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                         5.76949722146069140550e0,  3.64784832476320460504e0,
                         1.27045825245236838258e0,  2.41780725177450611770e-1,
                         2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr double kD[] = {1,
                         2.05319162663775882187e0,
                         1.67638483018380384940e0,
                         6.89767334985100004550e-1,
                         1.48103976427480074590e-1,
                         1.51986665636164571966e-2,
                         5.47593808499534494600e-4,
                         1.05075007164441684324e-9};
constexpr double kCentral = 0.425;

double central_quantile(double from_half) {
  const double r = kCentral * kCentral - from_half * from_half;
  return from_half * polynomial(kA, r) / polynomial(kB, r);
}

double tail_quantile(double from_half) {
  const double r = std::sqrt(-std::log(0.5 - std::abs(from_half))) - 1.6;
  return std::copysign(polynomial(kC, r) / polynomial(kD, r), from_half);
}

}  // namespace

double Generator::normal_quantile(double probability) {
  const double from_half = probability - 0.5;
  return std::abs(from_half) <= kCentral ? central_quantile(from_half) : tail_quantile(from_half);
}

void Generator::normals(std::span<float> out, double std) {
  constexpr std::size_t kBlock = 256;
  double from_half[kBlock], normal[kBlock];
  for (std::size_t begin = 0; begin < out.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, out.size() - begin);
    for (std::size_t i = 0; i < count; ++i) from_half[i] = uniform() - 0.5;
    // Without a branch, so that the compiler makes vectors of it: beyond the centre it is a number
    // that the next loop replaces.
    for (std::size_t i = 0; i < count; ++i) normal[i] = central_quantile(from_half[i]);
    for (std::size_t i = 0; i < count; ++i) {
      if (std::abs(from_half[i]) > kCentral) normal[i] = tail_quantile(from_half[i]);
    }
    for (std::size_t i = 0; i < count; ++i) out[begin + i] = static_cast<float>(std * normal[i]);
  }
}

}  // namespace subquad
