#pragma once

#include <complex>

#include "subquad/run.h"

namespace subquad {

/// Forward discrete Fourier transform of one length, in float:
///
///   out_s = sum over t of in_t exp(-2 pi i s t / length)
///
/// by kissfft for lengths whose prime factors are 2, 3 and 5, and for all others by Bluestein's
/// chirp transform (L. Bluestein 1970, "A linear filtering approach to the computation of the
/// discrete Fourier transform") over the next such length from 2 length - 1 on: kissfft itself
/// takes quadratic time and allocates memory for large factors. Twiddle factors and chirps are
/// computed in double.
class Fft {
 public:
  using Complex = std::complex<float>;

  /// Arena bytes that constructing a plan takes.
  static std::size_t plan_bytes(Index length);
  /// Complex numbers of work space that `transform` needs.
  static Index work_size(Index length);

  /// length >= 1. The plan lies in `arena` and is read only from then on: threads share it.
  Fft(Index length, Arena& arena);

  /// `in` and `out` hold `length` numbers and do not overlap; `work` holds `work_size`. Adds
  /// `multiply_adds` to `worker.executed`.
  void transform(const Complex* in, Complex* out, Complex* work, Worker& worker) const;

  /// What a transform of this length by radix 2 would take, counting 5 length log2(length) floating
  /// point operations as half as many multiply-adds.
  static double nominal_multiply_adds(Index length);
  /// What `transform` does, in the same count and whole, so that sums of them are the same in any
  /// order.
  double multiply_adds() const { return multiply_adds_; }

 private:
  void bluestein(const Complex* in, Complex* out, Complex* work) const;

  Index length_;
  Index padded_;              ///< length of the plain transforms, `length` or longer
  void* plain_;               ///< kissfft's plan
  const Complex* chirp_;      ///< exp(-pi i t^2 / length), or null where kissfft does it alone
  const Complex* chirp_fft_;  ///< transform of the conjugate chirp, over `padded_`
  double multiply_adds_;
};

}  // namespace subquad
