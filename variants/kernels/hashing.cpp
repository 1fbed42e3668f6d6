#include "kernels/hashing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/product.h"
#include "kernels/rowwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Columns of R that are looked at together.
constexpr Index kColumns = 256;

/// The largest magnitude so far in a row of projections, and where it was.
struct Largest {
  float magnitude = -1;
  std::int32_t value = 0;
};

/// Magnitudes of a vector of projections; -1 for a NaN and for what lies beyond the end.
HWY_INLINE Vec<float> magnitudes(const float* projections, Index left) {
  const Tag<float> d;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto value = hn::Abs(left >= kLanes<float> ? hn::LoadU(d, projections)
                                                   : load_first<float>(projections, left, nan));
  return hn::IfThenElse(hn::IsNaN(value), hn::Set(d, -1.0f), value);
}

/// Looks at `count` more projections, onto directions offset, offset + 1, ... of `directions`.
HWY_INLINE void look_at(const float* projections, Index count, Index offset, Index directions,
                        Largest& best) {
  const Tag<float> d;
  auto largest = hn::Set(d, -1.0f);
  for (Index c = 0; c < count; c += kLanes<float>) {
    largest = hn::Max(largest, magnitudes(projections + c, count - c));
  }
  const float magnitude = hn::GetLane(hn::MaxOfLanes(d, largest));
  if (magnitude <= best.magnitude) return;
  best.magnitude = magnitude;
  const auto wanted = hn::Set(d, magnitude);
  for (Index c = 0; c < count; c += kLanes<float>) {
    const auto at = hn::FindFirstTrue(d, hn::Eq(magnitudes(projections + c, count - c), wanted));
    if (at < 0) continue;
    const Index place = c + static_cast<Index>(at);
    best.value =
        static_cast<std::int32_t>(offset + place + (projections[place] < 0 ? directions : 0));
    return;
  }
}

/// In double, so that lengths far from 1 neither overflow nor vanish.
double sum_of_squares(const float* row, Index count) {
  const Tag<double> d;
  const hn::Rebind<float, Tag<double>> floats;
  auto sum = hn::Zero(d);
  for (Index c = 0; c < count; c += kLanes<double>) {
    const auto first = hn::FirstN(floats, static_cast<std::size_t>(count - c));
    const auto value = hn::PromoteTo(d, hn::MaskedLoad(first, floats, row + c));
    sum = hn::MulAdd(value, value, sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace
}  // namespace HWY_NAMESPACE

std::size_t DirectionHash::scratch_bytes(Index rows, Index dim) const {
  const Index block = std::min(rounds * directions(), HWY_NAMESPACE::kColumns);
  return Scratch()
      .worker<float>(rows * block)
      .worker<HWY_NAMESPACE::Largest>(rows)
      .worker<std::byte>(static_cast<Index>(product_scratch_bytes(rows, block, dim)))
      .worker_bytes;
}

void DirectionHash::operator()(ConstView rows, ConstView rotations, std::int32_t* buckets,
                               Index stride, Worker& worker) const {
  using HWY_NAMESPACE::Largest;
  const std::size_t mark = worker.scratch.used();
  const Index columns = rounds * directions(), block = std::min(columns, HWY_NAMESPACE::kColumns);
  const View projections = worker.scratch.take_matrix(rows.rows, block);
  const std::span<Largest> best = worker.scratch.take<Largest>(rows.rows);
  for (Index begin = 0; begin < columns; begin += block) {
    const Index end = std::min(begin + block, columns);
    multiply(rows, rotations.col_range(begin, end - begin), projections.col_range(0, end - begin),
             worker);
    // Hash by hash; one may begin in one block and end in another.
    for (Index c = begin; c < end;) {
      const Index round = c / directions();
      const bool is_first = c % directions() < first / 2;
      const Index hash_begin = round * directions() + (is_first ? 0 : first / 2);
      const Index width = is_first ? first / 2 : second / 2;
      const Index stop = std::min(end, hash_begin + width);
      if (c == hash_begin) std::fill(best.begin(), best.end(), Largest());
      for (Index i = 0; i < rows.rows; ++i) {
        HWY_STATIC_DISPATCH(look_at)
        (projections.row(i) + (c - begin), stop - c, c - hash_begin, width, best[i]);
      }
      if (stop == hash_begin + width) {
        std::int32_t* const to = buckets + round * stride;
        for (Index i = 0; i < rows.rows; ++i) {
          to[i] =
              is_first ? best[i].value * static_cast<std::int32_t>(second) : to[i] + best[i].value;
        }
      }
      c = stop;
    }
  }
  worker.scratch.rewind(mark);
}

void inverse_lengths(ConstView rows, std::span<float> factors) {
  for (Index i = 0; i < rows.rows; ++i) {
    const double squares = HWY_STATIC_DISPATCH(sum_of_squares)(rows.row(i), rows.cols);
    factors[i] = squares == 0 ? 0.0f : static_cast<float>(1 / std::sqrt(squares));
  }
}

void sort_by_bucket(std::span<const std::int32_t> buckets, std::span<std::int32_t> order,
                    std::span<std::int32_t> ends) {
  std::fill(ends.begin(), ends.end(), 0);
  for (const std::int32_t bucket : buckets) ++ends[bucket];
  std::int32_t before = 0;
  for (std::int32_t& end : ends) before += std::exchange(end, before);
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    order[ends[buckets[i]]++] = static_cast<std::int32_t>(i);
  }
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
