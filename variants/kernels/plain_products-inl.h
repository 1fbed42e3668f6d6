#pragma once

// The two products of the streaming softmax, scores = queries keys^T and outputs += weights values,
// with operands of one float type, in registers: blocks of 64 keys are packed transposed, their
// values lie in rows, and both stay in the first-level cache while the queries of a tile pass by.

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/product-inl.h"
#include "kernels/streaming_softmax_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

template <class T>
class PlainProducts {
 public:
  using Real = T;
  /// Rows of a group: of one micro-kernel.
  static constexpr Index kGroupRows = kMicroRows;
  /// Groups that are treated together. Wide heads pass piece by piece: a piece of the keys serves
  /// all of the groups while it is in the first-level cache.
  static constexpr Index kGroups = 4;
  static constexpr Index kBlock = kPanelColumns;
  /// The first lane that is computed for a group, and the end of them, are multiples of it.
  static constexpr Index kLaneStep = kLanes<T>;
  /// Whether these products make weights out of scores, and sum them, rather than their user.
  static constexpr bool kWeighs = false;
  /// Whether matrix units make the products, in bf16.
  static constexpr bool kMatrixUnits = false;

  PlainProducts(Arena& arena, Index rows, Index dim, Index value_dim)
      : dim_(dim), value_stride_(round_up(value_dim, kLanes<T>)) {
    rows = round_up(rows, kGroupRows);
    queries_ = arena.take<T>(rows * dim).data();
    outputs_ = arena.take<T>(rows * value_stride_).data();
    own_keys_ = arena.take<T>(kBlock * dim).data();
    own_values_ = arena.take<T>(kBlock * value_stride_).data();
    scores_ = arena.take<T>(kGroups * kGroupRows * kBlock).data();
  }

  static std::size_t bytes(Index rows, Index dim, Index value_dim) {
    rows = round_up(rows, kGroupRows);
    const Index value_stride = round_up(value_dim, kLanes<T>);
    return Scratch()
        .worker<T>(rows * dim)
        .template worker<T>(rows * value_stride)
        .template worker<T>(kBlock * dim)
        .template worker<T>(kBlock * value_stride)
        .template worker<T>(kGroups * kGroupRows * kBlock)
        .worker_bytes;
  }

  /// Elements that a packed block takes.
  static Index packed_elements(Index dim, Index) { return kBlock * dim; }

  /// Packs a block for `use_keys`; returns whether its values are finite.
  static bool pack_block(const T* const* keys, const T* const* values, Index count, Index dim,
                         Index value_dim, T* to) {
    pack_transposed<T>(keys, count, dim, to);
    return std::all_of(values, values + count,
                       [&](const T* row) { return all_finite<T>(row, value_dim); });
  }

  /// Takes the queries, times `factor`; outputs begin at 0.
  void begin(MatrixView<const T> q, Rows rows, double factor) {
    const auto factors = hn::Set(d_, static_cast<T>(factor));
    const Index padded = round_up(rows.count, kGroupRows);
    for (Index i = 0; i < padded; ++i) {
      const T* const from = q.row(rows[std::min(i, rows.count - 1)]);
      T* const to = queries_ + i * dim_;
      for (Index c = 0; c < dim_; c += kLanes<T>) {
        const Index left = std::min(kLanes<T>, dim_ - c);
        store_first<T>(hn::Mul(load_first(from + c, left, T{0}), factors), left, to + c);
      }
    }
    std::fill_n(outputs_, padded * value_stride_, T{0});
  }

  void pack_keys(const T* const* lines, Index count) {
    pack_transposed<T>(lines, count, dim_, own_keys_);
    keys_ = own_keys_;
  }

  /// Takes keys that were packed before.
  void use_keys(const T* packed) { keys_ = packed; }

  /// Returns whether all values are finite; those that are not become 0.
  bool pack_values(const T* const* lines, Index count, Index columns) {
    values_ = own_values_;
    if (pack_rows<T>(lines, count, columns, own_values_, value_stride_)) return true;
    std::replace_if(
        own_values_, own_values_ + count * value_stride_,
        [](T value) { return !std::isfinite(value); }, T{0});
    return false;
  }

  /// Takes values from where they lie, if all of them are finite (`known` to be, or looked at) and
  /// rows are whole vectors, aligned (each load would otherwise touch two cache lines), and follow
  /// one another (rows further apart fall into few sets of the cache).
  bool use_values(MatrixView<const T> values, bool known) {
    const bool aligned =
        reinterpret_cast<std::uintptr_t>(values.data) % (kLanes<T> * sizeof(T)) == 0;
    if (!aligned || values.cols != value_stride_ || values.stride != value_stride_) return false;
    if (!known && !all_finite(values.data, values.rows * values.cols)) return false;
    values_ = values.data;
    return true;
  }

  /// Scores of some groups, by their slots. Long dot products are summed in pieces: rounding errors
  /// grow with the length of a chain and with the size of its partial sums, and the error of a
  /// score is the error of its exponential.
  HWY_INLINE void score(std::span<const Group> groups) {
    const Index piece = dim_ <= kLongestChain ? std::max<Index>(dim_, 1) : kPiece;
    for (Index begin = 0; begin < dim_ || begin == 0; begin += piece) {
      for (const Group& group : groups) {
        score_piece(group, begin, std::min(piece, dim_ - begin));
      }
    }
  }

  /// Scores of row `row` of a group, [kBlock]; the weights take their place.
  T* scores(const Group& group, Index row) {
    return scores_ + (group.slot * kGroupRows + row) * kBlock;
  }

  T weight(const Group& group, Index row, Index lane) { return scores(group, row)[lane]; }

  /// What becomes of weights, and of an element of an operand, before they are multiplied.
  static HWY_INLINE Vec<T> weight(Vec<T> given) { return given; }
  static T operand(T given) { return given; }

  /// outputs += weights values, over the lanes that a group sees.
  HWY_INLINE void add_values(std::span<const Group> groups) {
    const Index vectors = value_stride_ / kLanes<T>;
    for (Index begin = 0; begin < vectors;) {
      const Index piece = next_vectors(vectors - begin);
      for (const Group& group : groups) add_piece(group, begin, piece);
      begin += piece;
    }
  }

  /// [value_stride] sums of a tile's row, not yet divided.
  T* outputs(Index row) { return outputs_ + row * value_stride_; }

  void rescale(Index row, T factor) { scale_vectors(outputs(row), value_stride_, factor); }

  /// Multiply-adds that one group takes, whole vectors included.
  double multiply_adds(const Group& group) const {
    const auto lanes = static_cast<double>(group.vectors * kLanes<T>);
    const auto keys = static_cast<double>(group.all.high - group.all.low);
    return static_cast<double>(group.rows) *
           (lanes * static_cast<double>(dim_) + keys * static_cast<double>(value_stride_));
  }

 private:
  static constexpr Tag<T> d_{};
  static constexpr Index kLongestChain = 96;
  static constexpr Index kPiece = 64;

  template <Index kRows>
  static HWY_INLINE void score_rows(const T* queries, Index dim, const T* keys, Index depth,
                                    Index vectors, bool first, T* scores) {
    if (first) {
      strip_product<kRows, false, T>(queries, dim, keys, kBlock, depth, vectors,
                                     [scores](Index r, Index v, Vec<T> sum) HWY_ATTR {
                                       hn::StoreU(sum, d_, scores + r * kBlock + v * kLanes<T>);
                                     });
    } else {
      strip_product<kRows, false, T>(queries, dim, keys, kBlock, depth, vectors,
                                     [scores](Index r, Index v, Vec<T> sum) HWY_ATTR {
                                       T* const at = scores + r * kBlock + v * kLanes<T>;
                                       hn::StoreU(hn::Add(hn::LoadU(d_, at), sum), d_, at);
                                     });
    }
  }

  HWY_INLINE void score_piece(const Group& group, Index begin, Index depth) {
    T* const scores = this->scores(group, 0) + group.first_vector * kLanes<T>;
    const T* const keys = keys_ + begin * kBlock + group.first_vector * kLanes<T>;
    const T* const queries = queries_ + group.first * dim_ + begin;
    // Rows beyond the group's are padding of the buffers.
    if (HWY_LIKELY(group.rows > 4)) {
      score_rows<kMicroRows>(queries, dim_, keys, depth, group.vectors, begin == 0, scores);
    } else if (group.rows > 1) {
      score_rows<4>(queries, dim_, keys, depth, group.vectors, begin == 0, scores);
    } else {
      score_rows<1>(queries, dim_, keys, depth, group.vectors, begin == 0, scores);
    }
  }

  template <Index kRows>
  static HWY_INLINE void add_rows(const T* weights, const T* values, Index stride, Index depth,
                                  Index vectors, T* outputs) {
    piece_product<kRows, false, T>(weights, kBlock, values, stride, depth, vectors,
                                   [outputs, stride](Index r, Index v, Vec<T> sum) HWY_ATTR {
                                     T* const at = outputs + r * stride + v * kLanes<T>;
                                     hn::StoreU(hn::Add(hn::LoadU(d_, at), sum), d_, at);
                                   });
  }

  HWY_INLINE void add_piece(const Group& group, Index first_vector, Index vectors) {
    const Index stride = value_stride_;
    T* const outputs = outputs_ + group.first * stride + first_vector * kLanes<T>;
    const T* const values = values_ + group.all.low * stride + first_vector * kLanes<T>;
    const T* const weights = scores(group, 0) + group.all.low;
    const Index depth = group.all.high - group.all.low;
    if (HWY_LIKELY(group.rows > 4)) {
      add_rows<kMicroRows>(weights, values, stride, depth, vectors, outputs);
    } else if (group.rows > 1) {
      add_rows<4>(weights, values, stride, depth, vectors, outputs);
    } else {
      add_rows<1>(weights, values, stride, depth, vectors, outputs);
    }
  }

 protected:
  Index dim_, value_stride_;
  T* queries_;     ///< [rows, dim], scaled
  T* outputs_;     ///< [rows, value_stride]
  T* own_keys_;    ///< [dim, kBlock]: room for a block's keys, transposed
  T* own_values_;  ///< [kBlock, value_stride]: room for its values
  const T* keys_ = nullptr;
  const T* values_ = nullptr;
  T* scores_;  ///< [kGroups * kGroupRows, kBlock], then the weights
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
