#pragma once

// Register-blocked micro-kernels and the packing of their operands, shared by the matrix products
// and by the softmax kernel.

#include <algorithm>

#include "kernels/rowwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// Rows and vectors of one micro-kernel: as many accumulators as registers allow beside the
/// operands. With 24 (or 12) of them, additions never wait for one another, and each vector of b
/// that is loaded serves six multiply-adds, so that loads stay below their share of the issue
/// slots.
inline constexpr Index kMicroRows = 6;
inline constexpr Index kMicroVectors = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64 ? 4 : 2;

/// Columns of a packed panel.
inline constexpr Index kPanelColumns = 64;

constexpr Index round_up(Index value, Index multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// store(row, vector, sum over p < depth of a(row, p) * b[p * b_stride + vector * lanes ...]) for
/// all rows and vectors, where a(row, p) is a[row * a_stride + p] or, transposed,
/// a[p * a_stride + row].
template <Index kRows, Index kVectors, bool kTransposed, class T, class Store>
HWY_INLINE void micro_product(const T* a, Index a_stride, const T* b, Index b_stride, Index depth,
                              Store store) {
  // Fewer than eight chains of additions would leave the multipliers idle: cut them by depth.
  constexpr Index kChains = kRows * kVectors;
  constexpr Index kParts = kChains >= 8 ? 1 : kChains >= 4 ? 2 : 4;
  const Tag<T> d;
  Vec<T> sums[kParts][kRows][kVectors];
  SUBQUAD_UNROLL
  for (Index part = 0; part < kParts; ++part) {
    SUBQUAD_UNROLL
    for (Index r = 0; r < kRows; ++r) {
      SUBQUAD_UNROLL
      for (Index v = 0; v < kVectors; ++v) sums[part][r][v] = hn::Zero(d);
    }
  }
  Index p = 0;
  for (; p + kParts <= depth; p += kParts) {
    SUBQUAD_UNROLL
    for (Index part = 0; part < kParts; ++part) {
      Vec<T> row[kVectors];
      SUBQUAD_UNROLL
      for (Index v = 0; v < kVectors; ++v) {
        row[v] = hn::LoadU(d, b + (p + part) * b_stride + v * kLanes<T>);
      }
      SUBQUAD_UNROLL
      for (Index r = 0; r < kRows; ++r) {
        const auto factor =
            hn::Set(d, kTransposed ? a[(p + part) * a_stride + r] : a[r * a_stride + p + part]);
        SUBQUAD_UNROLL
        for (Index v = 0; v < kVectors; ++v) {
          sums[part][r][v] = hn::MulAdd(factor, row[v], sums[part][r][v]);
        }
      }
    }
  }
  if constexpr (kParts > 1) {
    for (; p < depth; ++p) {
      SUBQUAD_UNROLL
      for (Index r = 0; r < kRows; ++r) {
        const auto factor = hn::Set(d, kTransposed ? a[p * a_stride + r] : a[r * a_stride + p]);
        SUBQUAD_UNROLL
        for (Index v = 0; v < kVectors; ++v) {
          const auto row = hn::LoadU(d, b + p * b_stride + v * kLanes<T>);
          sums[0][r][v] = hn::MulAdd(factor, row, sums[0][r][v]);
        }
      }
    }
  }
  SUBQUAD_UNROLL
  for (Index r = 0; r < kRows; ++r) {
    SUBQUAD_UNROLL
    for (Index v = 0; v < kVectors; ++v) {
      Vec<T> sum = sums[0][r][v];
      SUBQUAD_UNROLL
      for (Index part = 1; part < kParts; ++part) sum = hn::Add(sum, sums[part][r][v]);
      store(r, v, sum);
    }
  }
}

/// Vectors of the next micro-kernel where `vectors` are left: as many as fit, and balanced: five
/// are three and two rather than four and one, which would leave the multipliers waiting.
constexpr Index next_vectors(Index vectors) {
  if (vectors <= kMicroVectors) return vectors;
  return vectors == kMicroVectors + 1 ? (kMicroVectors + 2) / 2 : kMicroVectors;
}

/// The same over `vectors` vectors, at most kMicroVectors, known at run time. `store` should hold
/// what it needs by value, or it is read anew for every vector.
template <Index kRows, bool kTransposed, class T, class Store>
HWY_INLINE void piece_product(const T* a, Index a_stride, const T* b, Index b_stride, Index depth,
                              Index vectors, Store store) {
  if constexpr (kMicroVectors >= 4) {
    if (vectors == 4) {
      return micro_product<kRows, 4, kTransposed>(a, a_stride, b, b_stride, depth, store);
    }
    if (vectors == 3) {
      return micro_product<kRows, 3, kTransposed>(a, a_stride, b, b_stride, depth, store);
    }
  }
  if (vectors == 2) {
    return micro_product<kRows, 2, kTransposed>(a, a_stride, b, b_stride, depth, store);
  }
  micro_product<kRows, 1, kTransposed>(a, a_stride, b, b_stride, depth, store);
}

/// The same over any number of vectors, piece by piece.
template <Index kRows, bool kTransposed, class T, class Store>
HWY_INLINE void strip_product(const T* a, Index a_stride, const T* b, Index b_stride, Index depth,
                              Index vectors, Store store) {
  for (Index begin = 0; begin < vectors;) {
    const Index piece = next_vectors(vectors - begin);
    piece_product<kRows, kTransposed>(a, a_stride, b + begin * kLanes<T>, b_stride, depth, piece,
                                      [store, begin](Index r, Index v, Vec<T> sum)
                                          HWY_ATTR { store(r, begin + v, sum); });
    begin += piece;
  }
}

/// Transposes within 128-bit blocks: in[j] holds, in its 128-bit block b, the
/// elements i = 0, 1, ... of line (lines per block) * b + j; out[i] then holds element i of all
/// lines in order.
template <class V>
HWY_INLINE void transpose_blocks(V (&in)[4], V (&out)[4]) {
  const hn::DFromV<V> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, in[0], in[1]));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, in[2], in[3]));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, in[0], in[1]));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, in[2], in[3]));
  out[0] = hn::BitCast(d, hn::InterleaveLower(wide, low01, low23));
  out[1] = hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23));
  out[2] = hn::BitCast(d, hn::InterleaveLower(wide, high01, high23));
  out[3] = hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23));
}

template <class V>
HWY_INLINE void transpose_blocks(V (&in)[2], V (&out)[2]) {
  const hn::DFromV<V> d;
  out[0] = hn::InterleaveLower(d, in[0], in[1]);
  out[1] = hn::InterleaveUpper(d, in[0], in[1]);
}

/// One vector out of the 128-bit blocks at lines[0] + at, lines[step] + at, ...
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_blocks(D d, const T* const* lines, Index step, Index at) {
  constexpr Index kBlocks = hn::MaxLanes(D()) * sizeof(T) / 16;
  if constexpr (kBlocks == 1) {
    return hn::LoadU(d, lines[0] + at);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, lines + kBlocks / 2 * step, step, at),
                       load_blocks(half, lines, step, at));
  }
}

/// to[p * kPanelColumns + j] = lines[j][p] for p < depth and j < count; columns up to the next
/// multiple of the vector length are filled with copies.
template <class T>
void pack_transposed(const T* const* lines, Index count, Index depth, T* to) {
  constexpr Index kBlock = 16 / sizeof(T);
  const Tag<T> d;
  for (Index j = 0; j < count; j += kLanes<T>) {
    const T* block_lines[kLanes<T>];
    for (Index l = 0; l < kLanes<T>; ++l) block_lines[l] = lines[std::min(j + l, count - 1)];
    Index p = 0;
    for (; p + kBlock <= depth; p += kBlock) {
      Vec<T> in[kBlock], out[kBlock];
      SUBQUAD_UNROLL
      for (Index i = 0; i < kBlock; ++i) in[i] = load_blocks(d, block_lines + i, kBlock, p);
      transpose_blocks(in, out);
      SUBQUAD_UNROLL
      for (Index i = 0; i < kBlock; ++i) hn::StoreU(out[i], d, to + (p + i) * kPanelColumns + j);
    }
    for (; p < depth; ++p) {
      for (Index l = 0; l < kLanes<T>; ++l) to[p * kPanelColumns + j + l] = block_lines[l][p];
    }
  }
}

/// to[j * to_stride + c] = lines[j][c] for j < count and c < columns, zeros up to the next multiple
/// of the vector length. Returns whether every element is finite.
template <class T>
bool pack_rows(const T* const* lines, Index count, Index columns, T* to, Index to_stride) {
  const Tag<T> d;
  // 0 * x is 0 for finite x and NaN otherwise.
  const auto zero = hn::Zero(d);
  auto check = zero;
  for (Index j = 0; j < count; ++j) {
    Index c = 0;
    for (; c + kLanes<T> <= columns; c += kLanes<T>) {
      const auto values = hn::LoadU(d, lines[j] + c);
      hn::StoreU(values, d, to + j * to_stride + c);
      check = hn::MulAdd(values, zero, check);
    }
    if (c < columns) {
      const auto values = load_first(lines[j] + c, columns - c, T{0});
      hn::StoreU(values, d, to + j * to_stride + c);
      check = hn::MulAdd(values, zero, check);
    }
  }
  return hn::AllTrue(d, hn::Eq(check, zero));
}

template <class T>
bool all_finite(const T* values, Index count) {
  const Tag<T> d;
  const auto zero = hn::Zero(d);
  Vec<T> checks[4] = {zero, zero, zero, zero};
  Index i = 0;
  for (; i + 4 * kLanes<T> <= count; i += 4 * kLanes<T>) {
    SUBQUAD_UNROLL
    for (Index part = 0; part < 4; ++part) {
      checks[part] = hn::MulAdd(hn::LoadU(d, values + i + part * kLanes<T>), zero, checks[part]);
    }
  }
  for (; i < count; i += kLanes<T>) {
    const auto last = load_first(values + i, std::min(kLanes<T>, count - i), T{0});
    checks[0] = hn::MulAdd(last, zero, checks[0]);
  }
  const auto check = hn::Add(hn::Add(checks[0], checks[1]), hn::Add(checks[2], checks[3]));
  return hn::AllTrue(d, hn::Eq(check, zero));
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
