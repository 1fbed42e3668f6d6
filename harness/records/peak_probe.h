#pragma once

#include <deque>

#include "records/common_window.h"

namespace subquad {

/// What multiply-adds are done on.
enum class Arithmetic {
  float32,
  float64,
  bf16,  ///< by matrix units, float32 sums; needs `has_bf16_units`
};

/// Whether this processor multiplies tiles of bf16 matrices (AMX) and the system lets this process
/// do so, which the first call asks for.
bool has_bf16_units();

/// Multiply-adds from registers alone for some ten microseconds, on the calling thread; returns how
/// many flops that were, two for each.
double multiply_from_registers(Arithmetic arithmetic);

/// The peak at this moment of threads that somebody else owns, over a few windows of a quarter of a
/// millisecond.
class PeakProbe {
 public:
  PeakProbe(Arithmetic arithmetic, int threads);

  /// To be called by each of those threads.
  void take_part();
  /// The highest of the windows, all threads together. To be asked when all are back.
  double gflops() const;

 private:
  Arithmetic arithmetic_;
  std::deque<CommonWindow> windows_;
};

}  // namespace subquad
