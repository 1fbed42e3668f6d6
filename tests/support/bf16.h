#pragma once

#include <cmath>

namespace subquad {

/// The nearest number with 8 significant bits, by arithmetic: of two the one whose last bit is 0.
inline float to_bf16(float x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  const double fraction = std::frexp(double{x}, &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8));
}

}  // namespace subquad
