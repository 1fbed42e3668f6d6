#pragma once

// The streaming softmax over a tile of queries, as a template over the element type. The public
// function is its float instantiation; the double one is held against naive loops by the tests.
//
// Loop order: blocks of 64 keys outside, groups of six queries inside. A block of keys is packed
// transposed and its values in rows, once for all queries of the tile; both then stay in the
// first-level cache while the queries pass by. For each group: scores [6, 64] by a register-blocked
// product, exponentials in place, and a product with the values that adds to the group's outputs.

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/product-inl.h"
#include "kernels/streaming_softmax.h"
#include "kernels/streaming_softmax_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

template <class T>
class SoftmaxTile {
 public:
  SoftmaxTile(const SoftmaxInputs<T>& inputs, Rows queries, const ScoreEdit* edit, Worker& worker)
      : inputs_(inputs),
        rows_(queries),
        edit_(edit),
        worker_(worker),
        dim_(inputs.q.cols),
        buffers_(worker.scratch, queries.count, dim_, inputs.v.cols) {
    load_queries();
  }

  void attend(const KeyPlan& plan) {
    for (const KeySpan& span : plan.spans()) attend_span(span);
    const std::span<const std::int32_t> singles = plan.singles();
    for (std::size_t begin = 0; begin < singles.size(); begin += kBlock) {
      KeyBlock block;
      block.singles = singles.data() + begin;
      block.count = std::min<Index>(kBlock, static_cast<Index>(singles.size() - begin));
      attend_block(block);
    }
  }

  void finish() {
    const Index columns = inputs_.out.cols;
    for (Index i = 0; i < rows_.count; ++i) {
      double sum = 0;
      for (Index l = 0; l < kLanes<T>; ++l) sum += buffers_.sums[i * kLanes<T> + l];
      // No key seen: the sum is 0, and so are the outputs.
      const auto factor = hn::Set(d_, sum == 0 ? T{0} : static_cast<T>(1 / sum));
      const T* const from = buffers_.outputs + i * buffers_.value_stride;
      T* const to = inputs_.out.row(rows_[i]);
      for (Index c = 0; c < columns; c += kLanes<T>) {
        const auto value = hn::Mul(hn::LoadU(d_, from + c), factor);
        if (columns - c >= kLanes<T>) {
          hn::StoreU(value, d_, to + c);
        } else {
          store_first<T>(value, columns - c, to + c);
        }
      }
      if (inputs_.row_log_sum_exp != nullptr) {
        inputs_.row_log_sum_exp[rows_[i]] =
            static_cast<T>(kLn2 * (static_cast<double>(buffers_.maxima[i]) + std::log2(sum)));
      }
    }
  }

 private:
  static constexpr Index kBlock = SoftmaxBuffers<T>::kBlock;
  static constexpr Index kVectors = kBlock / kLanes<T>;
  static constexpr double kLn2 = 0.69314718055994530942;
  static constexpr double kLog2E = 1.44269504088896340736;
  static constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();
  static constexpr Tag<T> d_{};

  /// A group of queries against a block: which lanes they see, which whole vectors cover those.
  struct Group {
    Index first;  ///< row of the tile
    Index rows;   ///< 1 to kMicroRows
    Interval all, common;
    Index first_vector, vectors;
    bool masked;
  };

  Index position(Index row) const { return inputs_.first_query + rows_[row]; }

  /// Queries are scaled once, so that scores come out in units of log2 (edited ones in their own).
  void load_queries() {
    const double factor = edit_ != nullptr ? inputs_.scale : inputs_.scale * kLog2E;
    const auto factors = hn::Set(d_, static_cast<T>(factor));
    const Index padded = round_up(rows_.count, kMicroRows);
    for (Index i = 0; i < padded; ++i) {
      const T* const from = inputs_.q.row(rows_[std::min(i, rows_.count - 1)]);
      T* const to = buffers_.queries + i * dim_;
      for (Index c = 0; c < dim_; c += kLanes<T>) {
        const Index left = std::min(kLanes<T>, dim_ - c);
        store_first<T>(hn::Mul(load_first(from + c, left, T{0}), factors), left, to + c);
      }
    }
    std::fill_n(buffers_.outputs, padded * buffers_.value_stride, T{0});
    std::fill_n(buffers_.maxima, padded, kMinusInfinity);
    std::fill_n(buffers_.sums, padded * kLanes<T>, T{0});
  }

  /// Lanes that at least one row of [first, last] sees, or that all of them see.
  Interval seen_by_any(const KeyBlock& block, Index first, Index last) const {
    return {visible(block, position(first), inputs_.causal).low,
            visible(block, position(last), inputs_.causal).high};
  }

  void attend_span(const KeySpan& span) {
    KeyBlock whole{span.keys.count, span.keys, nullptr, span.seen, span.below, span.above};
    const Interval seen = seen_by_any(whole, 0, rows_.count - 1);
    for (Index begin = seen.low; begin < seen.high; begin += kBlock) {
      KeyBlock block = whole;
      block.count = block.span.count = std::min(kBlock, seen.high - begin);
      block.span.begin = span.keys[begin];
      attend_block(block);
    }
  }

  void attend_block(const KeyBlock& block) {
    const Interval seen = seen_by_any(block, 0, rows_.count - 1);
    if (seen.empty()) return;
    const bool edited = edit_ != nullptr && edit_->edits(block.seen);
    const bool finite = pack(block, edited);
    for (Index row = 0; row < rows_.count; row += kMicroRows) {
      Group group;
      group.first = row;
      group.rows = std::min(kMicroRows, rows_.count - row);
      const Interval first = visible(block, position(row), inputs_.causal);
      const Interval last = visible(block, position(row + group.rows - 1), inputs_.causal);
      group.all = {first.low, last.high};
      group.common = {last.low, first.high};
      if (group.all.empty()) continue;
      group.first_vector = group.all.low / kLanes<T>;
      group.vectors = (group.all.high + kLanes<T> - 1) / kLanes<T> - group.first_vector;
      const Interval computed{group.first_vector * kLanes<T>,
                              (group.first_vector + group.vectors) * kLanes<T>};
      group.masked = !group.common.contains(computed);
      attend_group(block, group, edited, finite);
    }
  }

  /// Returns whether all values are finite.
  bool pack(const KeyBlock& block, bool edited) {
    for (Index j = 0; j < block.count; ++j) buffers_.lines[j] = inputs_.k.row(block.key(j));
    pack_transposed<T>(buffers_.lines, block.count, dim_, buffers_.keys);
    for (Index j = 0; j < block.count; ++j) buffers_.lines[j] = inputs_.v.row(block.key(j));
    if (edited) {
      for (Index j = 0; j < block.count; ++j) {
        buffers_.key_rows[j] = static_cast<std::int32_t>(block.key(j));
      }
    }
    const bool finite = pack_rows<T>(buffers_.lines, block.count, inputs_.v.cols, buffers_.values,
                                     buffers_.value_stride);
    if (!finite) {
      std::replace_if(
          buffers_.values, buffers_.values + block.count * buffers_.value_stride,
          [](T value) { return !std::isfinite(value); }, T{0});
    }
    return finite;
  }

  void attend_group(const KeyBlock& block, const Group& group, bool edited, bool finite) {
    score(group);
    for (Index r = 0; r < group.rows; ++r) {
      if (group.masked) {
        mask(group, r, visible(block, position(group.first + r), inputs_.causal));
      }
      if constexpr (std::is_same_v<T, float>) {
        if (edited) this->edit(block, group, r);
      }
      if (edit_ != nullptr) to_log2(group, r);
      if (group.vectors == kVectors) {
        exponentiate<true>(group, r);
      } else {
        exponentiate<false>(group, r);
      }
    }
    add_values(group);
    if (!finite) add_non_finite(block, group);
    count_work(group);
  }

  /// Chooses the micro-kernel; rows beyond the group's are padding of the buffers.
  template <class Body>
  static HWY_INLINE void with_rows(Index rows, const Body& body) {
    if (rows == 1) {
      body.template operator()<1>();
    } else if (rows <= 4) {
      body.template operator()<4>();
    } else {
      body.template operator()<kMicroRows>();
    }
  }

  /// Long dot products are summed in pieces: rounding errors grow with the length of a chain and
  /// with the size of its partial sums, and the error of a score is the error of its exponential.
  void score(const Group& group) {
    constexpr Index kPiece = 32;
    T* const scores = buffers_.scores + group.first_vector * kLanes<T>;
    const T* const keys = buffers_.keys + group.first_vector * kLanes<T>;
    for (Index begin = 0; begin < dim_; begin += kPiece) {
      with_rows(group.rows, [&]<Index kRows>() HWY_ATTR {
        strip_product<kRows, false, T>(
            buffers_.queries + group.first * dim_ + begin, dim_, keys + begin * kBlock, kBlock,
            std::min(kPiece, dim_ - begin), group.vectors,
            [scores, first = begin == 0](Index r, Index v, Vec<T> sum) HWY_ATTR {
              T* const at = scores + r * kBlock + v * kLanes<T>;
              hn::StoreU(first ? sum : hn::Add(hn::LoadU(d_, at), sum), d_, at);
            });
      });
    }
  }

  void mask(const Group& group, Index r, Interval seen) {
    T* const scores = buffers_.scores + r * kBlock;
    const auto low = hn::Set(d_, static_cast<T>(seen.low));
    const auto high = hn::Set(d_, static_cast<T>(seen.high));
    for (Index v = group.first_vector; v < group.first_vector + group.vectors; ++v) {
      T* const at = scores + v * kLanes<T>;
      const auto lane = hn::Iota(d_, static_cast<T>(v * kLanes<T>));
      const auto kept = hn::And(hn::Ge(lane, low), hn::Lt(lane, high));
      hn::StoreU(hn::IfThenElse(kept, hn::LoadU(d_, at), hn::Set(d_, kMinusInfinity)), d_, at);
    }
  }

  void edit(const KeyBlock& block, const Group& group, Index r) {
    const Interval seen = visible(block, position(group.first + r), inputs_.causal);
    if (seen.empty()) return;
    const auto count = static_cast<std::size_t>(seen.high - seen.low);
    edit_->edit(rows_[group.first + r], {buffers_.key_rows + seen.low, count},
                buffers_.scores + r * kBlock + seen.low);
  }

  void to_log2(const Group& group, Index r) {
    T* const scores = buffers_.scores + r * kBlock;
    const auto factor = hn::Set(d_, static_cast<T>(kLog2E));
    for (Index v = group.first_vector; v < group.first_vector + group.vectors; ++v) {
      T* const at = scores + v * kLanes<T>;
      hn::StoreU(hn::Mul(hn::LoadU(d_, at), factor), d_, at);
    }
  }

  /// Scores of one row to exponentials of their distance to the running maximum. What was summed
  /// before is rescaled only if the maximum grows, which soon becomes rare.
  template <bool kWhole>
  HWY_INLINE void exponentiate(const Group& group, Index r) {
    const Index begin = kWhole ? 0 : group.first_vector;
    const Index end = kWhole ? kVectors : group.first_vector + group.vectors;
    T* const scores = buffers_.scores + r * kBlock;
    const Index row = group.first + r;
    auto largest = hn::LoadU(d_, scores + begin * kLanes<T>);
    for (Index v = begin + 1; v < end; ++v) {
      largest = hn::Max(largest, hn::LoadU(d_, scores + v * kLanes<T>));
    }
    if (!hn::AllFalse(d_, hn::Gt(largest, hn::Set(d_, buffers_.maxima[row])))) {
      raise_maximum(row, hn::GetLane(hn::MaxOfLanes(d_, largest)));
    }
    // A row that has seen nothing yet keeps its maximum of -infinity; its scores are all -infinity.
    const T maximum = buffers_.maxima[row];
    const auto shift = hn::Set(d_, maximum == kMinusInfinity ? T{0} : maximum);
    T* const sum_at = buffers_.sums + row * kLanes<T>;
    auto sum = hn::Zero(d_);
    for (Index v = begin; v < end; ++v) {
      T* const at = scores + v * kLanes<T>;
      const auto power = exp2_of_nonpositive<T>(hn::Sub(hn::LoadU(d_, at), shift));
      hn::StoreU(power, d_, at);
      sum = hn::Add(sum, power);
    }
    hn::StoreU(hn::Add(hn::LoadU(d_, sum_at), sum), d_, sum_at);
  }

  HWY_NOINLINE void raise_maximum(Index row, T maximum) {
    const T old = buffers_.maxima[row];
    buffers_.maxima[row] = maximum;
    if (old == kMinusInfinity) return;  // all sums are still 0
    const auto factor = exp2_of_nonpositive<T>(hn::Set(d_, old - maximum));
    T* const sums = buffers_.sums + row * kLanes<T>;
    hn::StoreU(hn::Mul(hn::LoadU(d_, sums), factor), d_, sums);
    T* const outputs = buffers_.outputs + row * buffers_.value_stride;
    for (Index c = 0; c < buffers_.value_stride; c += kLanes<T>) {
      hn::StoreU(hn::Mul(hn::LoadU(d_, outputs + c), factor), d_, outputs + c);
    }
  }

  void add_values(const Group& group) {
    T* const outputs = buffers_.outputs + group.first * buffers_.value_stride;
    with_rows(group.rows, [&]<Index kRows>() HWY_ATTR {
      strip_product<kRows, false, T>(
          buffers_.scores + group.all.low, kBlock,
          buffers_.values + group.all.low * buffers_.value_stride, buffers_.value_stride,
          group.all.high - group.all.low, buffers_.value_stride / kLanes<T>,
          [outputs, stride = buffers_.value_stride](Index r, Index v, Vec<T> sum) HWY_ATTR {
            T* const at = outputs + r * stride + v * kLanes<T>;
            hn::StoreU(hn::Add(hn::LoadU(d_, at), sum), d_, at);
          });
    });
  }

  /// The kernel saw 0 in the place of values that are not finite, lest those of pairs that are not
  /// seen get in (0 * NaN is NaN). Here they reach the queries that do see them.
  HWY_NOINLINE void add_non_finite(const KeyBlock& block, const Group& group) {
    for (Index r = 0; r < group.rows; ++r) {
      T* const outputs = buffers_.outputs + (group.first + r) * buffers_.value_stride;
      for (Index j = group.all.low; j < group.all.high; ++j) {
        const T weight = buffers_.scores[r * kBlock + j];
        if (weight == 0) continue;
        const T* const values = inputs_.v.row(block.key(j));
        for (Index c = 0; c < inputs_.v.cols; ++c) {
          if (!std::isfinite(values[c])) outputs[c] += weight * values[c];
        }
      }
    }
  }

  void count_work(const Group& group) {
    const auto rows = static_cast<double>(group.rows);
    const auto lanes = static_cast<double>(group.vectors * kLanes<T>);
    const auto keys = static_cast<double>(group.all.high - group.all.low);
    worker_.executed.multiply_adds += rows * (lanes * static_cast<double>(dim_) +
                                              keys * static_cast<double>(buffers_.value_stride));
    worker_.executed.exponentials += rows * lanes;
  }

  const SoftmaxInputs<T>& inputs_;
  Rows rows_;
  const ScoreEdit* edit_;
  Worker& worker_;
  Index dim_;
  SoftmaxBuffers<T> buffers_;
};

template <class T>
void attend_tile(const SoftmaxInputs<T>& inputs, Rows queries, const KeyPlan& plan,
                 const ScoreEdit* edit, Worker& worker) {
  if (queries.count == 0) return;
  const std::size_t mark = worker.scratch.used();
  SoftmaxTile<T> tile(inputs, queries, edit, worker);
  tile.attend(plan);
  tile.finish();
  worker.scratch.rewind(mark);
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
