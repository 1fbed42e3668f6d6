#pragma once

// Inner products of queries and keys of a chunk that gates stand between.

#include <cmath>

#include "kernels/linear_chunk-inl.h"
#include "subquad/run.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// Rows whose products with one another are made one by one.
inline constexpr Index kGateRows = 16;

/// Memory for `gated_scores`.
template <class T>
struct GateScratch {
  MatrixView<T> queries;  ///< [kGateRows + kMicroRows, features]
  MatrixView<T> keys;     ///< [chunk, features]
  T* packed;              ///< the keys once more, in whole panels
  MatrixView<T> gates;    ///< [kGateRows, features]
  T* product;             ///< [features]

  GateScratch(Arena& arena, Index chunk, Index features)
      : queries(arena.take<T>((kGateRows + kMicroRows) * features).data(), kGateRows + kMicroRows,
                features),
        keys(arena.take<T>(chunk * features).data(), chunk, features),
        packed(arena.take<T>(round_up(chunk, kPanelColumns) * features).data()),
        gates(arena.take<T>(kGateRows * features).data(), kGateRows, features),
        product(arena.take<T>(features).data()) {}
  static void declare(Scratch& scratch, Index chunk, Index features) {
    const Index rows[] = {kGateRows + kMicroRows, chunk, round_up(chunk, kPanelColumns), kGateRows,
                          1};
    for (const Index count : rows) scratch.worker<T>(count * features);
  }
};

/// Behind the features of each row, scores(i, j) = sum over features f of
/// q_if k_jf exp(sum of gates_tf, j < t <= i) for j <= i, and zeros for other keys as far as a
/// micro-kernel that holds the row may reach. `gates` [keys, features] are logarithms of gates,
/// none above 0, and `sums` [rows, features] their sums up to each row.
///
/// Blocks of kGateRows rows: with what came before the block, both factors are taken relative to
/// its beginning, so that neither exponent is above 0, and make matrix products (Yang et al. 2023,
/// arXiv:2312.06635, section 4.3); inside the block gates are multiplied one after the other.
template <class T>
void gated_scores(MatrixView<T> rows, MatrixView<T> keys, MatrixView<T> gates,
                  const GateScratch<T>& scratch, Worker& worker) {
  const Index features = keys.cols;
  for (Index begin = 0; begin < rows.rows; begin += kGateRows) {
    const Index end = std::min(begin + kGateRows, rows.rows);
    const Index before = std::min(begin, keys.rows), last = std::min(end, keys.rows);
    if (before > 0) {
      // Sums are taken from the nearer end: an exponent is as exact as it is small.
      std::fill_n(scratch.product, features, T{0});
      for (Index j = before; j-- > 0;) {
        std::copy_n(keys.row(j), features, scratch.keys.row(j));
        scale_by_exp(scratch.keys.row(j), scratch.product, features);
        add_scaled(scratch.product, T{1}, gates.row(j), features, scratch.product);
      }
      std::fill_n(scratch.product, features, T{0});
      for (Index i = begin; i < end; ++i) {
        if (i < last) add_scaled(scratch.product, T{1}, gates.row(i), features, scratch.product);
        std::copy_n(rows.row(i), features, scratch.queries.row(i - begin));
        scale_by_exp(scratch.queries.row(i - begin), scratch.product, features);
      }
      pack_keys_of_chunk(scratch.keys.data, scratch.keys.stride, before, features, scratch.packed);
      for (Index i = begin; i < end; i += kMicroRows) {
        // Every row is behind all of these keys.
        score_rows(scratch.queries.row(i - begin), scratch.queries.stride, features, scratch.packed,
                   begin, 0, before, std::min(kMicroRows, end - i), rows.row(i) + features,
                   rows.stride);
      }
      worker.executed.multiply_adds += static_cast<double>((end - begin) * before * features);
      worker.executed.exponentials += static_cast<double>((end - begin + before) * features);
    }
    const Index hidden = std::min(end + kMicroRows, rows.rows);
    for (Index i = begin; i < end; ++i) {
      std::fill(rows.row(i) + features + before, rows.row(i) + features + hidden, T{0});
    }
    for (Index j = begin; j < last; ++j) {
      std::fill_n(scratch.gates.row(j - begin), features, T{1});
      scale_by_exp(scratch.gates.row(j - begin), gates.row(j), features);
    }
    worker.executed.exponentials +=
        static_cast<double>(std::max<Index>(last - begin, 0) * features);
    for (Index j = begin; j < last; ++j) {
      std::copy_n(keys.row(j), features, scratch.product);
      for (Index i = j; i < end; ++i) {
        if (i > j && i < last) scale_each(scratch.product, scratch.gates.row(i - begin), features);
        rows(i, features + j) = dot_product(rows.row(i), scratch.product, features);
      }
      worker.executed.multiply_adds += static_cast<double>((end - j) * features);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
