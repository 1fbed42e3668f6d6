// fnet: Fourier transforms in place of attention. Lee-Thorp et al. 2021, "FNet: mixing tokens with
// Fourier transforms" (arXiv:2105.03824), section 3.2, equation 1.
//
//   out = Re(F_sequence F_hidden x),   x the layer's input, [n, width]
//
// Time O(n width (log n + log width)), memory O(n width). No parameters, nothing learned, no
// normalisation of the transforms, as in the paper. It mixes over the whole width of the model, so
// it works on a layer, not on a head. Padding would be mixed in like any token; the caller trims.
//
// Different from the authors' code, in speed alone: the input is real, so two rows share one
// transform over the width, and columns c and width - c of the result one along the sequence.

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "kernels/fft.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

using Complex = Fft::Complex;

/// Rows that a tile transforms over the width, and columns that a tile transforms along the
/// sequence: whole cache lines are read and written where the matrix is turned.
constexpr Index kRows = 16;
constexpr Index kColumns = 8;

/// Frequencies 0 ... width / 2; the others are their conjugates, because the input is real.
Index half(Index width) { return width / 2 + 1; }

class Fnet final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = false, .x = true}; }
  Scope scope() const override { return Scope::layer; }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "a Fourier transform along the sequence mixes all positions";
    if (!problem.self_attention()) return "mixes tokens of one sequence: queries must be the keys";
    return {};
  }

  Scratch scratch(const Problem& problem) const override {
    const Index n = problem.queries, width = problem.value_dim;
    Scratch scratch;
    scratch.shared_bytes = Fft::plan_bytes(width) + Fft::plan_bytes(n);
    scratch.shared<Complex>(half(width) * n);
    const Scratch rows = Scratch()
                             .worker<Complex>(2 * width)
                             .worker<Complex>(Fft::work_size(width))
                             .worker<Complex>(kRows * half(width));
    const Scratch columns =
        Scratch().worker<Complex>(n).worker<Complex>(Fft::work_size(n)).worker<float>(kColumns * n);
    scratch.worker_bytes = std::max(rows.worker_bytes, columns.worker_bytes);
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double n = static_cast<double>(problem.queries);
    const double width = static_cast<double>(problem.value_dim);
    // A transform of real numbers is half of a complex one.
    const double rows = n * Fft::nominal_multiply_adds(problem.value_dim) / 2;
    const double columns = width * Fft::nominal_multiply_adds(problem.queries) / 2;
    return {.useful = {.multiply_adds = rows + columns}, .bytes = 2 * sizeof(float) * n * width};
  }

  void forward(const Call& call) const override {
    const Index n = call.out.rows, width = call.out.cols;
    if (call.x.cols != width) {
      throw Error("fnet: x has " + std::to_string(call.x.cols) + " columns, the layer is " +
                  std::to_string(width) + " wide; they must agree");
    }
    Arena& shared = call.run.shared();
    const Fft over_width(width, shared);
    const Fft over_sequence(n, shared);
    // Column by column: frequency c of the width for all tokens, then c + 1.
    Complex* turned = shared.take<Complex>(half(width) * n).data();
    call.run.parallel((n + kRows - 1) / kRows, [&](Index tile, Worker& worker) {
      transform_rows(call.x, over_width, tile * kRows, turned, worker);
    });
    call.run.parallel((half(width) + kColumns - 1) / kColumns, [&](Index tile, Worker& worker) {
      transform_columns(turned, over_sequence, tile * kColumns, call.out, worker);
    });
  }

  void reference(const ReferenceCall& call) const override {
    const Index n = call.out.rows, width = call.out.cols;
    const std::vector<std::complex<double>> hidden = roots(width), sequence = roots(n);
    std::vector<std::complex<double>> mixed(static_cast<std::size_t>(n * width));
    for (Index t = 0; t < n; ++t) {
      for (Index c = 0; c < width; ++c) {
        for (Index h = 0; h < width; ++h)
          mixed[t * width + c] += call.x(t, h) * hidden[c * h % width];
      }
    }
    for (Index s = 0; s < n; ++s) {
      for (Index c = 0; c < width; ++c) call.out(s, c) = 0;
      for (Index t = 0; t < n; ++t) {
        for (Index c = 0; c < width; ++c) {
          call.out(s, c) += (mixed[t * width + c] * sequence[s * t % n]).real();
        }
      }
    }
  }

 private:
  /// exp(-2 pi i j / count) for j = 0 ... count - 1.
  static std::vector<std::complex<double>> roots(Index count) {
    std::vector<std::complex<double>> result;
    for (Index j = 0; j < count; ++j) {
      result.push_back(std::polar(
          1.0, -2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(count)));
    }
    return result;
  }

  /// Rows begin, begin + 1, ... of x over the width, two at a time: with z the transform of
  /// a + i b, that of a is (z_c + conj z_-c) / 2 and that of b is (z_c - conj z_-c) / 2i.
  static void transform_rows(ConstView x, const Fft& fft, Index begin, Complex* turned,
                             Worker& worker) {
    const Index width = x.cols, n = x.rows, rows = std::min(kRows, n - begin);
    const std::span<Complex> buffer = worker.scratch.take<Complex>(2 * width);
    Complex* pair = buffer.data();
    Complex* z = pair + width;
    Complex* work = worker.scratch.take<Complex>(Fft::work_size(width)).data();
    Complex* block = worker.scratch.take<Complex>(kRows * half(width)).data();
    for (Index i = 0; i < rows; i += 2) {
      const float* a = x.row(begin + i);
      const float* b = i + 1 < rows ? x.row(begin + i + 1) : nullptr;
      for (Index c = 0; c < width; ++c) pair[c] = {a[c], b != nullptr ? b[c] : 0.0f};
      fft.transform(pair, z, work, worker);
      for (Index c = 0; c < half(width); ++c) {
        const Complex mirrored = std::conj(z[c == 0 ? 0 : width - c]);
        const Complex difference = z[c] - mirrored;
        block[c * kRows + i] = 0.5f * (z[c] + mirrored);
        block[c * kRows + i + 1] = 0.5f * Complex(difference.imag(), -difference.real());
      }
    }
    for (Index c = 0; c < half(width); ++c) {
      std::copy_n(block + c * kRows, rows, turned + c * n + begin);
    }
  }

  /// Columns begin, begin + 1, ... along the sequence, and with them their mirror images: real part
  /// s of column width - c is real part -s of column c.
  static void transform_columns(const Complex* turned, const Fft& fft, Index begin, View out,
                                Worker& worker) {
    const Index n = out.rows, width = out.cols;
    const Index columns = std::min(kColumns, half(width) - begin);
    Complex* z = worker.scratch.take<Complex>(n).data();
    Complex* work = worker.scratch.take<Complex>(Fft::work_size(n)).data();
    float* real = worker.scratch.take<float>(kColumns * n).data();
    for (Index j = 0; j < columns; ++j) {
      fft.transform(turned + (begin + j) * n, z, work, worker);
      for (Index s = 0; s < n; ++s) real[s * kColumns + j] = z[s].real();
    }
    for (Index s = 0; s < n; ++s) {
      const float* mirrored = real + (s == 0 ? 0 : n - s) * kColumns;
      std::copy_n(real + s * kColumns, columns, out.row(s) + begin);
      for (Index j = 0; j < columns; ++j) {
        const Index c = width - begin - j;
        // Column 0 has no image; the middle one of an even width is its own.
        if (c < width && c >= half(width)) out(s, c) = mirrored[j];
      }
    }
  }
};

SUBQUAD_VARIANT(Fnet, {.name = "fnet",
                       .summary = "real part of the Fourier transform over tokens and width",
                       .citation = "arXiv:2105.03824",
                       .time = "n width log(n width)",
                       .memory = "n width"});

}  // namespace
}  // namespace subquad
