#include "kernels/fft.h"

#include <kiss_fft.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace subquad {
namespace {

using Complex = Fft::Complex;
static_assert(sizeof(kiss_fft_cpx) == sizeof(Complex));

bool is_smooth(Index length) {
  for (const Index factor : {2, 3, 5}) {
    while (length % factor == 0) length /= factor;
  }
  return length == 1;
}

/// A number takes kissfft about as long in any of its lengths, so the shortest one is the best.
Index padded_length(Index length) {
  if (is_smooth(length)) return length;
  return kiss_fft_next_fast_size(static_cast<int>(2 * length - 1));
}

std::size_t plain_plan_bytes(Index length) {
  std::size_t bytes = 0;
  kiss_fft_alloc(static_cast<int>(length), 0, nullptr, &bytes);
  return bytes;
}

/// The product without the checks for infinities that the standard's operator makes.
Complex times(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

void run_plain(const void* plan, const Complex* in, Complex* out) {
  // kissfft reads its plan only, whatever its signature says.
  kiss_fft(static_cast<kiss_fft_cfg>(const_cast<void*>(plan)),
           reinterpret_cast<const kiss_fft_cpx*>(in), reinterpret_cast<kiss_fft_cpx*>(out));
}

}  // namespace

double Fft::nominal_multiply_adds(Index length) {
  return 2.5 * static_cast<double>(length) * std::log2(static_cast<double>(length));
}

std::size_t Fft::plan_bytes(Index length) {
  const Index padded = padded_length(length);
  std::size_t bytes = padded_bytes(plain_plan_bytes(padded));
  if (padded != length) {
    bytes += padded_bytes(static_cast<std::size_t>(length) * sizeof(Complex)) +
             padded_bytes(static_cast<std::size_t>(padded) * sizeof(Complex)) +
             padded_bytes(static_cast<std::size_t>(padded) * sizeof(Complex));
  }
  return bytes;
}

Index Fft::work_size(Index length) {
  const Index padded = padded_length(length);
  return padded == length ? 0 : 2 * padded;
}

Fft::Fft(Index length, Arena& arena)
    : length_(length),
      padded_(padded_length(length)),
      plain_(nullptr),
      chirp_(nullptr),
      chirp_fft_(nullptr),
      multiply_adds_(std::ceil(nominal_multiply_adds(length))) {
  std::size_t bytes = plain_plan_bytes(padded_);
  plain_ = kiss_fft_alloc(static_cast<int>(padded_), 0,
                          arena.take<std::byte>(static_cast<Index>(bytes)).data(), &bytes);
  if (padded_ == length_) return;

  // Two transforms, three products by chirps at four multiply-adds.
  multiply_adds_ =
      2 * std::ceil(nominal_multiply_adds(padded_)) + 4 * static_cast<double>(2 * length + padded_);
  const std::span<Complex> chirp = arena.take<Complex>(length_);
  const std::span<Complex> filter = arena.take<Complex>(padded_);
  const std::span<Complex> filter_fft = arena.take<Complex>(padded_);
  std::fill(filter.begin(), filter.end(), Complex(0));
  for (Index t = 0; t < length_; ++t) {
    // t^2 modulo 2 length, so that the angle keeps its digits.
    const double angle = -std::numbers::pi * static_cast<double>(t * t % (2 * length_)) /
                         static_cast<double>(length_);
    const std::complex<double> value = std::polar(1.0, angle);
    chirp[t] = Complex(value);
    filter[t] = Complex(std::conj(value));
    if (t > 0) filter[padded_ - t] = filter[t];
  }
  run_plain(plain_, filter.data(), filter_fft.data());
  // The inverse transform's 1 / padded goes here, where it costs nothing.
  for (Complex& value : filter_fft) value /= static_cast<float>(padded_);
  chirp_ = chirp.data();
  chirp_fft_ = filter_fft.data();
}

void Fft::transform(const Complex* in, Complex* out, Complex* work, Worker& worker) const {
  if (length_ == 1) {
    out[0] = in[0];  // kissfft would take its general path, which allocates
  } else if (chirp_ == nullptr) {
    run_plain(plain_, in, out);
  } else {
    bluestein(in, out, work);
  }
  worker.executed.multiply_adds += multiply_adds_;
}

// s t = (s^2 + t^2 - (s - t)^2) / 2 turns the transform into a convolution with the conjugate
// chirp. The inverse transform is the forward one of the conjugate, conjugated.
void Fft::bluestein(const Complex* in, Complex* out, Complex* work) const {
  Complex* first = work;
  Complex* second = work + padded_;
  for (Index t = 0; t < length_; ++t) first[t] = times(in[t], chirp_[t]);
  for (Index t = length_; t < padded_; ++t) first[t] = 0;
  run_plain(plain_, first, second);
  for (Index t = 0; t < padded_; ++t) second[t] = std::conj(times(second[t], chirp_fft_[t]));
  run_plain(plain_, second, first);
  for (Index s = 0; s < length_; ++s) out[s] = times(std::conj(first[s]), chirp_[s]);
}

}  // namespace subquad
