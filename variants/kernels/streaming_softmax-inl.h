#pragma once

// The streaming softmax over a tile of queries, as a template over how its two products are made
// (plain_products-inl.h, bf16_products-inl.h, amx_products-inl.h): packing, scores and sums of
// values are theirs, and what lies between is shared: which lanes are seen, edits, running maxima,
// exponentials.
//
// Loop order: blocks of keys outside, a few groups of queries inside, so that a block is packed
// once for all queries of the tile. For each group: scores by the first product, exponentials in
// place, and the second product, which adds to the group's outputs.

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/plain_products-inl.h"
#include "kernels/streaming_softmax.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

template <class Products>
class SoftmaxTile {
 public:
  using T = typename Products::Real;

  SoftmaxTile(const SoftmaxInputs<T>& inputs, Rows queries, const ScoreEdit* edit, Worker& worker)
      : inputs_(inputs),
        rows_(queries),
        edit_(edit),
        worker_(worker),
        products_(worker.scratch, queries.count, inputs.q.cols, inputs.v.cols) {
    const Index padded = round_up(queries.count, Products::kGroupRows);
    maxima_ = worker.scratch.take<T>(padded).data();
    sums_ = worker.scratch.take<T>(padded * kSumLanes).data();
    lines_ = worker.scratch.take<const T*>(kBlock).data();
    key_rows_ = worker.scratch.take<std::int32_t>(kBlock).data();
    std::fill_n(maxima_, padded, kMinusInfinity);
    std::fill_n(sums_, padded * kSumLanes, T{0});
    // Queries are scaled once, so that scores come out in units of log2 (edited ones in their own).
    products_.begin(inputs.q, queries, edit != nullptr ? inputs.scale : inputs.scale * kLog2E);
  }

  static std::size_t bytes(Index rows, Index dim, Index value_dim) {
    const Index padded = round_up(rows, Products::kGroupRows);
    return Products::bytes(rows, dim, value_dim) + Scratch()
                                                       .worker<T>(padded)
                                                       .template worker<T>(padded * kSumLanes)
                                                       .template worker<const T*>(kBlock)
                                                       .template worker<std::int32_t>(kBlock)
                                                       .worker_bytes;
  }

  void attend(const KeyPlan& plan) {
    for (const KeySpan& span : plan.spans()) attend_span(span);
    const std::span<const std::int32_t> singles = plan.singles();
    const auto block_at = [&](std::size_t begin) {
      KeyBlock block;
      if (begin >= singles.size()) return block;
      block.singles = singles.data() + begin;
      block.count = std::min<Index>(kBlock, static_cast<Index>(singles.size() - begin));
      block.within = {0, block.count};
      return block;
    };
    for (std::size_t begin = 0; begin < singles.size(); begin += kBlock) {
      attend_block(block_at(begin));
    }
  }

  void finish() {
    for (Index i = 0; i < rows_.count; ++i) {
      const double sum = row_sum(i);
      if (inputs_.merge) {
        merge(i, sum);
        continue;
      }
      // No key seen: the sum is 0, and so are the outputs.
      const auto factor = hn::Set(d_, sum == 0 ? T{0} : static_cast<T>(1 / sum));
      write_row(i, [&](auto value, const T*, Index) { return hn::Mul(value, factor); });
      if (inputs_.row_log_sum_exp != nullptr) {
        inputs_.row_log_sum_exp[rows_[i]] = static_cast<T>(log_sum_exp(i, sum));
      }
    }
  }

 private:
  static constexpr Index kBlock = Products::kBlock;
  static constexpr Index kVectors = kBlock / kLanes<T>;
  static constexpr Index kSumLanes = Products::kWeighs ? 0 : kLanes<T>;
  static constexpr double kLn2 = 0.69314718055994530942;
  static constexpr double kLog2E = 1.44269504088896340736;
  static constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();
  /// How far scores may exceed the maximum that they are measured from (in units of log2) before it
  /// is raised and what was summed is rescaled. Any reference serves as well as the maximum itself,
  /// as long as nothing overflows; with some slack hardly any row is rescaled after its first
  /// block.
  static constexpr T kSlack = 16;
  static constexpr Tag<T> d_{};

  /// Writes what `value_of` makes of a row's sums, what is in the output and how much of that
  /// counts.
  template <class ValueOf>
  HWY_INLINE void write_row(Index row, const ValueOf& value_of) {
    const T* const from = products_.outputs(row);
    T* const to = inputs_.out.row(rows_[row]);
    for (Index c = 0; c < inputs_.out.cols; c += kLanes<T>) {
      const Index count = std::min(kLanes<T>, inputs_.out.cols - c);
      const auto value = value_of(hn::LoadU(d_, from + c), to + c, count);
      if (count == kLanes<T>) {
        hn::StoreU(value, d_, to + c);
      } else {
        store_first<T>(value, count, to + c);
      }
    }
  }

  double log_sum_exp(Index row, double sum) const {
    return kLn2 * (static_cast<double>(maxima_[row]) + std::log2(sum));
  }

  /// With the result over other keys, each weighted by its share of the whole.
  void merge(Index row, double sum) {
    T& whole = inputs_.row_log_sum_exp[rows_[row]];
    if (sum == 0) return;  // nothing is added
    const double before = static_cast<double>(whole), own = log_sum_exp(row, sum);
    const double larger = std::max(before, own);
    const double kept = std::exp(before - larger), added = std::exp(own - larger);
    const auto keep = hn::Set(d_, static_cast<T>(kept / (kept + added)));
    const auto factor = hn::Set(d_, static_cast<T>(added / (kept + added) / sum));
    write_row(row, [&](auto value, const T* old, Index count) {
      return hn::MulAdd(load_first(old, count, T{0}), keep, hn::Mul(value, factor));
    });
    whole = static_cast<T>(larger + std::log(kept + added));
  }

  Index position(Index row) const { return inputs_.first_query + rows_[row]; }

  /// Lanes that at least one row of the tile sees.
  Interval seen_by_any(const KeyBlock& block) const {
    return {visible(block, position(0), inputs_.causal).low,
            visible(block, position(rows_.count - 1), inputs_.causal).high};
  }

  void attend_span(const KeySpan& span) {
    KeyBlock whole;
    whole.span = span.keys;
    whole.count = span.keys.count;
    whole.within = {0, whole.count};
    whole.seen = span.seen;
    whole.below = span.below;
    whole.above = span.above;
    const Interval seen = seen_by_any(whole);
    if (seen.empty()) return;
    const bool packed = inputs_.packed_keys != nullptr && span.keys.step == 1;
    // Packed blocks begin at multiples of their length.
    const Index first = packed ? seen.low - span.keys[seen.low] % kBlock : seen.low;
    const auto block_at = [&](Index begin) {
      KeyBlock block = whole;
      block.count = block.span.count = std::clamp<Index>(
          packed ? inputs_.k.rows - span.keys[begin] : seen.high - begin, 0, kBlock);
      block.span.begin = span.keys[begin];
      block.within = {std::max<Index>(0, -begin), std::min(block.count, whole.count - begin)};
      if (packed) block.packed = block.span.begin / kBlock;
      return block;
    };
    for (Index begin = first; begin < seen.high; begin += kBlock) {
      attend_block(block_at(begin));
    }
  }

  void attend_block(const KeyBlock& block) {
    if (seen_by_any(block).empty()) return;
    const bool edited = edit_ != nullptr && edit_->edits(block.seen);
    const bool finite = pack(block, edited);
    const bool whole = sees_all(block);
    Group groups[Products::kGroups];
    Index count = 0;
    for (Index row = 0; row < rows_.count; row += Products::kGroupRows) {
      Group& group = groups[count];
      const Index rows = std::min(Products::kGroupRows, rows_.count - row);
      group = whole ? Group{row, rows, count, {0, kBlock}, {0, kBlock}, 0, kVectors, false}
                    : group_at(block, row, rows, count);
      if (!group.all.empty()) ++count;
      if (count == 0 || (count < Products::kGroups && row + rows < rows_.count)) continue;
      attend_groups(block, {groups, static_cast<std::size_t>(count)}, edited, finite);
      count = 0;
    }
  }

  /// Every row of the tile sees every lane of a whole block.
  bool sees_all(const KeyBlock& block) const {
    const Interval first = visible(block, position(0), inputs_.causal);
    const Interval last = visible(block, position(rows_.count - 1), inputs_.causal);
    const Interval hole{excluded(block, position(0)).low,
                        excluded(block, position(rows_.count - 1)).high};
    return hole.empty() && Interval{last.low, first.high}.contains({0, kBlock});
  }

  Index packed_elements() const {
    return Products::packed_elements(inputs_.k.cols, inputs_.v.cols);
  }
  const T* packed_keys(const KeyBlock& block) const {
    return inputs_.packed_keys + block.packed * packed_elements();
  }

  Group group_at(const KeyBlock& block, Index row, Index rows, Index slot) const {
    Group group{};
    group.first = row;
    group.rows = rows;
    group.slot = slot;
    const Interval first = visible(block, position(row), inputs_.causal);
    const Interval last = visible(block, position(row + group.rows - 1), inputs_.causal);
    group.all = {first.low, last.high};
    group.common = {last.low, first.high};
    constexpr Index kStep = Products::kLaneStep;
    group.first_vector = group.all.low / kStep * kStep / kLanes<T>;
    group.vectors = (group.all.high + kStep - 1) / kStep * kStep / kLanes<T> - group.first_vector;
    const Interval computed{group.first_vector * kLanes<T>,
                            (group.first_vector + group.vectors) * kLanes<T>};
    const Interval hole{excluded(block, position(row)).low,
                        excluded(block, position(row + group.rows - 1)).high};
    group.masked = !hole.empty() || !group.common.contains(computed);
    return group;
  }

  /// Returns whether all values are finite.
  bool pack(const KeyBlock& block, bool edited) {
    if (edited) {
      for (Index j = 0; j < block.count; ++j) {
        key_rows_[j] = static_cast<std::int32_t>(block.key(j));
      }
    }
    if (block.packed >= 0) {
      products_.use_keys(packed_keys(block));
    } else {
      for (Index j = 0; j < block.count; ++j) lines_[j] = inputs_.k.row(block.key(j));
      products_.pack_keys(lines_, block.count);
    }
    if (block.singles == nullptr && block.span.step == 1) {
      const MatrixView<const T> values = inputs_.v.row_range(block.span.begin, block.count);
      const bool known = block.packed >= 0 && inputs_.finite_values[block.packed];
      if (products_.use_values(values, known)) return true;
    }
    for (Index j = 0; j < block.count; ++j) lines_[j] = inputs_.v.row(block.key(j));
    return products_.pack_values(lines_, block.count, inputs_.v.cols);
  }

  void attend_groups(const KeyBlock& block, std::span<const Group> groups, bool edited,
                     bool finite) {
    if constexpr (Products::kWeighs) {
      if (edit_ == nullptr && groups.size() == 1 && !groups.front().masked) {
        if (!products_.score_and_weigh(groups.front(), maxima_)) raise_and_weigh(groups.front());
        finish_groups(block, groups, finite);
        return;
      }
    }
    products_.score(groups);
    for (const Group& group : groups) {
      for (Index r = 0; r < group.rows; ++r) {
        T* const scores = products_.scores(group, r);
        const Index row = group.first + r;
        if constexpr (std::is_same_v<T, float>) {
          if (edited) this->edit(block, row, scores);
        }
        if (edit_ != nullptr) to_log2(group, scores);
        if (group.masked) {
          mask(group, visible(block, position(row), inputs_.causal), scores);
          if (block.seen == Seen::outside) blank(group, excluded(block, position(row)), scores);
        }
        if constexpr (!Products::kWeighs) {
          if (group.vectors == kVectors) {
            exponentiate(row, scores, std::integral_constant<Index, kVectors>());
          } else {
            exponentiate(row, scores + group.first_vector * kLanes<T>, group.vectors);
          }
        }
      }
      if constexpr (Products::kWeighs) {
        if (!products_.weigh(group, maxima_)) raise_and_weigh(group);
      }
    }
    finish_groups(block, groups, finite);
  }

  HWY_INLINE void finish_groups(const KeyBlock& block, std::span<const Group> groups, bool finite) {
    products_.add_values(groups);
    for (const Group& group : groups) {
      if (!finite) add_non_finite(block, group);
      count_work(group);
    }
  }

  /// Lanes outside `seen` become -infinity.
  HWY_INLINE void mask(const Group& group, Interval seen, T* scores) const {
    const auto nothing = hn::Set(d_, kMinusInfinity);
    const Index end = group.first_vector + group.vectors;
    for (Index v = group.first_vector; v < end && v * kLanes<T> < seen.low; ++v) {
      T* const at = scores + v * kLanes<T>;
      const auto before = hn::FirstN(d_, static_cast<std::size_t>(seen.low - v * kLanes<T>));
      hn::StoreU(hn::IfThenElse(before, nothing, hn::LoadU(d_, at)), d_, at);
    }
    for (Index v = end - 1; v >= group.first_vector && seen.high < (v + 1) * kLanes<T>; --v) {
      T* const at = scores + v * kLanes<T>;
      const Index kept = std::max<Index>(0, seen.high - v * kLanes<T>);
      const auto first = hn::FirstN(d_, static_cast<std::size_t>(kept));
      hn::StoreU(hn::IfThenElse(first, hn::LoadU(d_, at), nothing), d_, at);
    }
  }

  /// Lanes inside `hole` become -infinity.
  void blank(const Group& group, Interval hole, T* scores) const {
    const Index low = std::max(hole.low, group.first_vector * kLanes<T>);
    const Index high = std::min(hole.high, (group.first_vector + group.vectors) * kLanes<T>);
    for (Index lane = low; lane < high; ++lane) scores[lane] = kMinusInfinity;
  }

  void edit(const KeyBlock& block, Index row, T* scores) const {
    const Interval seen = visible(block, position(row), inputs_.causal);
    if (seen.empty()) return;
    const auto count = static_cast<std::size_t>(seen.high - seen.low);
    edit_->edit(rows_[row], {key_rows_ + seen.low, count}, scores + seen.low);
  }

  void to_log2(const Group& group, T* scores) const {
    const auto factor = hn::Set(d_, static_cast<T>(kLog2E));
    for (Index v = group.first_vector; v < group.first_vector + group.vectors; ++v) {
      T* const at = scores + v * kLanes<T>;
      hn::StoreU(hn::Mul(hn::LoadU(d_, at), factor), d_, at);
    }
  }

  /// Weights of a group where products that make them say that a reference has to be raised first,
  /// which is rare after the first block.
  HWY_NOINLINE void raise_and_weigh(const Group& group) {
    for (Index r = 0; r < group.rows; ++r) {
      const T* const scores = products_.scores(group, r) + group.first_vector * kLanes<T>;
      auto largest = hn::LoadU(d_, scores);
      for (Index v = 1; v < group.vectors; ++v) {
        largest = hn::Max(largest, hn::LoadU(d_, scores + v * kLanes<T>));
      }
      // By this row alone, so that its bits do not depend on the others.
      const T maximum = hn::GetLane(hn::MaxOfLanes(d_, largest));
      if (maximum >= maxima_[group.first + r] + 1) raise_maximum(group.first + r, maximum + kSlack);
    }
    products_.weigh(group, maxima_);  // what is still too large is not finite
  }

  /// Some vectors of scores of one row to exponentials of their distance to the running maximum.
  template <class Count>
  HWY_INLINE void exponentiate(Index row, T* scores, Count vectors) {
    auto largest = hn::LoadU(d_, scores);
    for (Index v = 1; v < vectors; ++v) {
      largest = hn::Max(largest, hn::LoadU(d_, scores + v * kLanes<T>));
    }
    if (HWY_UNLIKELY(!hn::AllFalse(d_, hn::Gt(largest, hn::Set(d_, maxima_[row] + kSlack))))) {
      raise_maximum(row, hn::GetLane(hn::MaxOfLanes(d_, largest)));
    }
    // A row that has seen nothing yet keeps its maximum of -infinity; its scores are all -infinity.
    const T maximum = maxima_[row];
    const auto shift = hn::Set(d_, maximum == kMinusInfinity ? T{0} : maximum);
    auto sum = hn::LoadU(d_, sums_ + row * kLanes<T>);
    for (Index v = 0; v < vectors; ++v) {
      T* const at = scores + v * kLanes<T>;
      const auto power = Products::weight(exp2_of<T>(hn::Sub(hn::LoadU(d_, at), shift)));
      hn::StoreU(power, d_, at);
      sum = hn::Add(sum, power);
    }
    hn::StoreU(sum, d_, sums_ + row * kLanes<T>);
  }

  HWY_INLINE void raise_maximum(Index row, T maximum) {
    const T old = maxima_[row];
    maxima_[row] = maximum;
    if (old != kMinusInfinity) rescale(row, old, maximum);  // otherwise all sums are still 0
  }

  HWY_NOINLINE void rescale(Index row, T old, T maximum) {
    const auto factor = exp2_of<T>(hn::Set(d_, old - maximum));
    if constexpr (!Products::kWeighs) {
      T* const sums = sums_ + row * kLanes<T>;
      hn::StoreU(hn::Mul(hn::LoadU(d_, sums), factor), d_, sums);
    }
    products_.rescale(row, hn::GetLane(factor));
  }

  /// The kernel saw 0 in the place of values that are not finite, lest those of pairs that are not
  /// seen get in (0 * NaN is NaN). Here they reach the queries that do see them.
  HWY_NOINLINE void add_non_finite(const KeyBlock& block, const Group& group) {
    for (Index r = 0; r < group.rows; ++r) {
      T* const outputs = products_.outputs(group.first + r);
      for (Index j = group.all.low; j < group.all.high; ++j) {
        const T weight = products_.weight(group, r, j);
        if (weight == 0) continue;
        const T* const values = inputs_.v.row(block.key(j));
        for (Index c = 0; c < inputs_.v.cols; ++c) {
          const T value = Products::operand(values[c]);
          if (!std::isfinite(value)) outputs[c] += weight * value;
        }
      }
    }
  }

  void count_work(const Group& group) {
    const double multiply_adds = products_.multiply_adds(group);
    worker_.executed.multiply_adds += multiply_adds;
    if (Products::kMatrixUnits) worker_.executed.bf16_multiply_adds += multiply_adds;
    worker_.executed.exponentials += static_cast<double>(group.rows * group.vectors * kLanes<T>);
  }

  double row_sum(Index row) {
    if constexpr (Products::kWeighs) return products_.sum(row);
    return sum_in_double(sums_ + row * kSumLanes);
  }

  const SoftmaxInputs<T>& inputs_;
  Rows rows_;
  const ScoreEdit* edit_;
  Worker& worker_;
  Products products_;
  T* maxima_;               ///< [rows], what exponents are taken relative to, in units of log2
  T* sums_;                 ///< [rows, lanes]: partial sums of exponentials
  const T** lines_;         ///< [kBlock]: rows of K, then of V
  std::int32_t* key_rows_;  ///< [kBlock]: their numbers, for a ScoreEdit
};

template <class Products>
void attend_tile(const SoftmaxInputs<typename Products::Real>& inputs, Rows queries,
                 const KeyPlan& plan, const ScoreEdit* edit, Worker& worker) {
  if (queries.count == 0) return;
  const std::size_t mark = worker.scratch.used();
  SoftmaxTile<Products> tile(inputs, queries, edit, worker);
  tile.attend(plan);
  tile.finish();
  worker.scratch.rewind(mark);
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
