#pragma once

// How operands of bf16 tile products (amx-inl.h) lie in memory: rounded to nearest, in pairs of two
// numbers that are multiplied together, padded with zeros to whole tiles.

#include <algorithm>
#include <cstdint>

#include "kernels/amx-inl.h"
#include "kernels/product-inl.h"

#if SUBQUAD_HAS_AMX
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

struct AmxPacking {
  using Bf16 = std::uint16_t;
  using Pair = std::uint32_t;  ///< two bf16 numbers, which a tile product takes together
  static constexpr Index kTileRows = amx::kTileRows;
  static constexpr Index kBlock = 128;    ///< keys
  static constexpr Index kLaneStep = 32;  ///< keys of a chunk: two tiles of scores wide

  /// Extents in whole tiles.
  struct Shape {
    Shape(Index given_dim, Index given_value_dim)
        : given_dim(given_dim),
          given_value_dim(given_value_dim),
          dim(round_up(std::max<Index>(given_dim, 1), kLaneStep)),
          value_stride(round_up(given_value_dim + 1, kTileRows)) {}

    Index given_dim, given_value_dim;
    Index dim;
    Index value_stride;  ///< one more column at least, for the sum of weights

    Index key_pairs() const { return kBlock * dim / 2; }
    Index value_pairs() const { return kBlock * value_stride / 2; }
    /// Distance of the sums' column from the start of a row of pairs.
    Index sum_at() const {
      return given_value_dim / kTileRows * kTileRows * kTileRows + given_value_dim % kTileRows;
    }
  };

  /// to[c] = from[c] * factor for c < count, zeros up to the next multiple of 32.
  static void round_row(const float* from, Index count, float factor, Bf16* to) {
    const __m512 factors = _mm512_set1_ps(factor);
    for (Index c = 0; c == 0 || c < count; c += kLaneStep) {
      const __m512 low = _mm512_mul_ps(load_part(from + c, count - c), factors);
      const __m512 high =
          _mm512_mul_ps(load_part(from + c + kTileRows, count - c - kTileRows), factors);
      _mm512_storeu_si512(to + c, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
  }

  /// The first `count` lanes, as many as there are; zeros in the rest, which is not read.
  static __m512 load_part(const float* from, Index count) {
    if (count >= kTileRows) return _mm512_loadu_ps(from);
    if (count <= 0) return _mm512_setzero_ps();
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
  }

  /// Panels of 64 keys: pairs of columns, transposed.
  static void pack_keys(const Shape& shape, const float* const* lines, Index count, Pair* to) {
    alignas(64) Bf16 rounded[kPanelColumns][kLaneStep];
    const Pair* pairs[kPanelColumns];
    for (Index j = 0; j < kPanelColumns; ++j) pairs[j] = reinterpret_cast<const Pair*>(rounded[j]);
    for (Index panel = 0; panel < count; panel += kPanelColumns) {
      const Index columns = std::min(kPanelColumns, count - panel);
      for (Index c = 0; c < shape.dim; c += kLaneStep) {
        const Index width = std::min(kLaneStep, shape.given_dim - c);
        for (Index j = 0; j < columns; ++j) round_row(lines[panel + j] + c, width, 1, rounded[j]);
        const Index depth = std::min(kLaneStep, shape.dim - c) / 2;
        pack_transposed<Pair>(pairs, columns, depth,
                              to + panel * shape.dim / 2 + c / 2 * kPanelColumns);
      }
    }
  }

  /// Beside the values stands a column of ones, whose product with the weights is their sum.
  static bool pack_values(const Shape& shape, const float* const* lines, Index count, Pair* to) {
    bool finite = true;
    for (Index begin = 0; begin < count; begin += kLaneStep) {
      for (Index i = 0; i < kTileRows; ++i) {
        const Index low = begin + i, high = low + kTileRows;
        Pair* const row = to + begin / 2 * shape.value_stride + i * kTileRows;
        finite &= pack_value_pair(shape, low < count ? lines[low] : nullptr,
                                  high < count ? lines[high] : nullptr, row);
        constexpr Pair kOne = 0x3f80;
        row[shape.sum_at()] = (low < count ? kOne : 0) | (high < count ? kOne << 16 : 0);
      }
    }
    return finite;
  }

  /// One row of pairs of all tiles of a chunk's values: of key i and key i + 16, because so the
  /// weights of both need no shuffling. Absent lines are zeros.
  static bool pack_value_pair(const Shape& shape, const float* low, const float* high, Pair* to) {
    alignas(64) static constexpr Bf16 kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                         21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                         11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i order = _mm512_load_si512(kInterleave);
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    __mmask32 wrong = 0;
    for (Index c = 0; c < shape.value_stride; c += kTileRows) {
      const Index columns = shape.given_value_dim;
      const __m512 low_part = low ? load_part(low + c, columns - c) : _mm512_setzero_ps();
      const __m512 high_part = high ? load_part(high + c, columns - c) : _mm512_setzero_ps();
      const auto rounded = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high_part, low_part));
      const __m512i pairs = _mm512_permutexvar_epi16(order, rounded);
      const __mmask32 infinite =
          _mm512_cmpeq_epi16_mask(_mm512_and_si512(pairs, exponent), exponent);
      wrong |= infinite;
      _mm512_store_si512(to + c * kTileRows, _mm512_maskz_mov_epi16(~infinite, pairs));
    }
    return wrong == 0;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();

#endif  // SUBQUAD_HAS_AMX
