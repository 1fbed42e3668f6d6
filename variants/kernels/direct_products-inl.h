#pragma once

// The products of the streaming softmax for very few queries, as in decoding: keys and values are
// read where they lie, because packing a block takes as long as several queries spend on it.

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/product-inl.h"
#include "kernels/streaming_softmax_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

template <class T>
class DirectProducts {
 public:
  using Real = T;
  static constexpr Index kGroupRows = 1;
  static constexpr Index kGroups = 1;
  static constexpr Index kBlock = kPanelColumns;
  static constexpr Index kLaneStep = kLanes<T>;
  static constexpr bool kWeighs = false;
  static constexpr bool kMatrixUnits = false;
  /// From four queries on, packed blocks are faster (dim 64).
  static constexpr Index kMostRows = 3;

  DirectProducts(Arena& arena, Index rows, Index dim, Index value_dim)
      : dim_(dim), value_dim_(value_dim), value_stride_(round_up(value_dim, kLanes<T>)) {
    queries_ = arena.take<T>(rows * query_stride()).data();
    outputs_ = arena.take<T>(rows * value_stride_).data();
    own_values_ = arena.take<T>(kBlock * value_stride_).data();
    scores_ = arena.take<T>(kBlock).data();
  }

  static std::size_t bytes(Index rows, Index dim, Index value_dim) {
    const Index value_stride = round_up(value_dim, kLanes<T>);
    return Scratch()
        .worker<T>(rows * round_up(dim, kLanes<T>))
        .template worker<T>(rows * value_stride)
        .template worker<T>(kBlock * value_stride)
        .template worker<T>(kBlock)
        .worker_bytes;
  }

  /// Reads keys where they lie.
  static Index packed_elements(Index, Index) { return 0; }

  /// Takes the queries, times `factor`; outputs begin at 0.
  void begin(MatrixView<const T> q, Rows rows, double factor) {
    const auto factors = hn::Set(d_, static_cast<T>(factor));
    for (Index i = 0; i < rows.count; ++i) {
      for (Index c = 0; c < dim_; c += kLanes<T>) {
        const auto part = load_first(q.row(rows[i]) + c, std::min(kLanes<T>, dim_ - c), T{0});
        hn::StoreU(hn::Mul(part, factors), d_, queries_ + i * query_stride() + c);
      }
    }
    std::fill_n(outputs_, rows.count * value_stride_, T{0});
  }

  void use_keys(const T*) {}
  void pack_keys(const T* const* lines, Index count) {
    for (Index j = 0; j < kBlock; ++j) keys_[j] = lines[std::min(j, count - 1)];
  }

  /// Returns whether all values are finite; those that are not become 0.
  bool pack_values(const T* const* lines, Index count, Index columns) {
    bool finite = true;
    for (Index j = 0; j < count && finite; ++j) finite = all_finite(lines[j], columns);
    for (Index j = 0; j < count; ++j) values_[j] = lines[j];
    if (finite) return true;
    for (Index j = 0; j < count; ++j) {
      T* const copy = own_values_ + j * value_stride_;
      std::replace_copy_if(
          lines[j], lines[j] + columns, copy, [](T value) { return !std::isfinite(value); }, T{0});
      values_[j] = copy;
    }
    return false;
  }

  /// Values come by their lines alone.
  bool use_values(MatrixView<const T>, bool) { return false; }

  void score(std::span<const Group> groups) {
    for (const Group& group : groups) {
      const T* const query = queries_ + group.first * query_stride();
      for (Index v = group.first_vector; v < group.first_vector + group.vectors; ++v) {
        hn::StoreU(dot_products(query, keys_ + v * kLanes<T>), d_, scores_ + v * kLanes<T>);
      }
    }
  }

  T* scores(const Group&, Index) { return scores_; }
  T weight(const Group&, Index, Index lane) { return scores_[lane]; }
  static HWY_INLINE Vec<T> weight(Vec<T> given) { return given; }
  static T operand(T given) { return given; }

  void add_values(std::span<const Group> groups) {
    for (const Group& group : groups) {
      T* const out = outputs(group.first);
      const Index vectors = value_stride_ / kLanes<T>;
      Index v = 0;
      for (; v + 4 <= vectors; v += 4) add_columns<4>(group, v, out);
      for (; v < vectors; ++v) add_columns<1>(group, v, out);
    }
  }

  /// [value_stride] sums of a tile's row, not yet divided.
  T* outputs(Index row) { return outputs_ + row * value_stride_; }

  void rescale(Index row, T factor) { scale_vectors(outputs(row), value_stride_, factor); }

  double multiply_adds(const Group& group) const {
    const auto lanes = static_cast<double>(group.vectors * kLanes<T>);
    const auto keys = static_cast<double>(group.all.high - group.all.low);
    return lanes * static_cast<double>(query_stride()) + keys * static_cast<double>(value_stride_);
  }

 private:
  static constexpr Tag<T> d_{};
  /// Elements of a 128-bit block, which transposes work within.
  static constexpr Index kQuad = 16 / sizeof(T);

  Index query_stride() const { return round_up(dim_, kLanes<T>); }

  /// Products of one query with kLanes keys. Each key has a vector of partial sums; four (or two,
  /// of doubles) such vectors at a time are transposed and added within 128-bit blocks, and then
  /// their blocks among each other.
  HWY_INLINE Vec<T> dot_products(const T* query, const T* const* keys) const {
    alignas(64) T partial[kLanes<T> / kQuad][kLanes<T>];
    const T* lines[kLanes<T> / kQuad];
    for (Index quad = 0; quad < kLanes<T> / kQuad; ++quad) {
      Vec<T> sums[kQuad], turned[kQuad];
      SUBQUAD_UNROLL
      for (Index i = 0; i < kQuad; ++i) sums[i] = hn::Zero(d_);
      const T* const* const four = keys + quad * kQuad;
      Index c = 0;
      for (; c + kLanes<T> <= dim_; c += kLanes<T>) {
        const auto part = hn::LoadU(d_, query + c);
        SUBQUAD_UNROLL
        for (Index i = 0; i < kQuad; ++i) {
          sums[i] = hn::MulAdd(part, hn::LoadU(d_, four[i] + c), sums[i]);
        }
      }
      if (c < dim_) {
        const auto part = hn::LoadU(d_, query + c);
        SUBQUAD_UNROLL
        for (Index i = 0; i < kQuad; ++i) {
          sums[i] = hn::MulAdd(part, load_first(four[i] + c, dim_ - c, T{0}), sums[i]);
        }
      }
      transpose_blocks(sums, turned);
      auto sum = turned[0];
      SUBQUAD_UNROLL
      for (Index i = 1; i < kQuad; ++i) sum = hn::Add(sum, turned[i]);
      hn::Store(sum, d_, partial[quad]);
      lines[quad] = partial[quad];
    }
    auto sum = load_blocks(d_, lines, 1, 0);
    SUBQUAD_UNROLL
    for (Index block = 1; block < kLanes<T> / kQuad; ++block) {
      sum = hn::Add(sum, load_blocks(d_, lines, 1, block * kQuad));
    }
    return sum;
  }

  /// Two sums for each vector of columns, so that additions seldom wait for one another.
  template <Index kVectors>
  HWY_INLINE void add_columns(const Group& group, Index first, T* out) const {
    Vec<T> sums[2][kVectors];
    SUBQUAD_UNROLL
    for (Index v = 0; v < kVectors; ++v) sums[0][v] = sums[1][v] = hn::Zero(d_);
    const Index columns = first * kLanes<T>;
    const bool whole = columns + kVectors * kLanes<T> <= value_dim_;
    const Index left = value_dim_ - columns - (kVectors - 1) * kLanes<T>;
    const auto add = [&](Index parity, Index j) HWY_ATTR {
      const auto weight = hn::Set(d_, scores_[j]);
      const T* const value = values_[j] + columns;
      SUBQUAD_UNROLL
      for (Index v = 0; v < kVectors; ++v) {
        const T* const at = value + v * kLanes<T>;
        const auto part =
            whole || v + 1 < kVectors ? hn::LoadU(d_, at) : load_first(at, left, T{0});
        sums[parity][v] = hn::MulAdd(weight, part, sums[parity][v]);
      }
    };
    Index j = group.all.low;
    for (; j + 2 <= group.all.high; j += 2) {
      add(0, j);
      add(1, j + 1);
    }
    if (j < group.all.high) add(0, j);
    SUBQUAD_UNROLL
    for (Index v = 0; v < kVectors; ++v) {
      T* const at = out + columns + v * kLanes<T>;
      hn::StoreU(hn::Add(hn::LoadU(d_, at), hn::Add(sums[0][v], sums[1][v])), d_, at);
    }
  }

  Index dim_, value_dim_, value_stride_;
  T* queries_;     ///< [rows, query_stride], scaled, then zeros
  T* outputs_;     ///< [rows, value_stride]
  T* own_values_;  ///< [kBlock, value_stride]: room for values that are not all finite
  T* scores_;      ///< [kBlock], then the weights
  const T* keys_[kBlock] = {};
  const T* values_[kBlock] = {};
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
