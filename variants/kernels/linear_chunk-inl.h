#pragma once

// Inner loops of linear attention: features of a chunk of tokens against a state and against one
// another. T is float or double.

#include <algorithm>
#include <limits>

#include "kernels/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

HWY_INLINE Vec<float> exp_in(Vec<float> x) { return exp_of(x); }
/// Of doubles up to 44; 0 where the result would not be a normal number.
HWY_INLINE Vec<double> exp_in(Vec<double> x) {
  return exp2_of<double>(hn::Mul(x, hn::Set(Tag<double>(), 1.4426950408889634)));
}

/// Calls body(begin, lanes that count) for each vector of `count` elements.
template <class T, class Body>
HWY_INLINE void each_vector(Index count, Body body) {
  for (Index i = 0; i < count; i += kLanes<T>) body(i, std::min(kLanes<T>, count - i));
}

template <class T>
T dot_product(const T* a, const T* b, Index count) {
  const Tag<T> d;
  Vec<T> sums[2] = {hn::Zero(d), hn::Zero(d)};
  Index i = 0;
  for (; i + 2 * kLanes<T> <= count; i += 2 * kLanes<T>) {
    sums[0] = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sums[0]);
    sums[1] = hn::MulAdd(hn::LoadU(d, a + i + kLanes<T>), hn::LoadU(d, b + i + kLanes<T>), sums[1]);
  }
  for (; i < count; i += kLanes<T>) {
    const Index left = std::min(kLanes<T>, count - i);
    sums[0] = hn::MulAdd(load_first(a + i, left, T{0}), load_first(b + i, left, T{0}), sums[0]);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sums[0], sums[1])));
}

template <class T>
T sum_of(const T* values, Index count) {
  const Tag<T> d;
  auto sum = hn::Zero(d);
  each_vector<T>(count, [&](Index i, Index left)
                            HWY_ATTR { sum = hn::Add(sum, load_first(values + i, left, T{0})); });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// values[i] *= factors[i].
template <class T>
void scale_each(T* values, const T* factors, Index count) {
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto product =
        hn::Mul(load_first(values + i, left, T{0}), load_first(factors + i, left, T{0}));
    store_first<T>(product, left, values + i);
  });
}

template <class T>
void scale_all(T* values, T factor, Index count) {
  const Tag<T> d;
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    store_first<T>(hn::Mul(load_first(values + i, left, T{0}), hn::Set(d, factor)), left,
                   values + i);
  });
}

/// to[i] = a[i] + factor * b[i], where `a` and `to` may be the same.
template <class T>
void add_scaled(const T* a, T factor, const T* b, Index count, T* to) {
  const Tag<T> d;
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto sum = hn::MulAdd(hn::Set(d, factor), load_first(b + i, left, T{0}),
                                load_first(a + i, left, T{0}));
    store_first<T>(sum, left, to + i);
  });
}

/// values[i] *= exp(logs[i]).
template <class T>
void scale_by_exp(T* values, const T* logs, Index count) {
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto product =
        hn::Mul(load_first(values + i, left, T{0}), exp_in(load_first(logs + i, left, T{0})));
    store_first<T>(product, left, values + i);
  });
}

/// values[i] *= exp(log - logs[i]).
template <class T>
void scale_by_exp_from(T* values, T log, const T* logs, Index count) {
  const Tag<T> d;
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto exponent = hn::Sub(hn::Set(d, log), load_first(logs + i, left, T{0}));
    const auto product = hn::Mul(load_first(values + i, left, T{0}), exp_in(exponent));
    store_first<T>(product, left, values + i);
  });
}

/// to[i] = exp(logs[i] - references[i]). Returns the largest exponent, infinity where one is a NaN.
template <class T>
T exp_relative(const T* logs, const T* references, Index count, T* to) {
  const Tag<T> d;
  const auto infinity = hn::Set(d, std::numeric_limits<T>::infinity());
  auto largest = hn::Neg(infinity);
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto exponent =
        hn::Sub(load_first(logs + i, left, T{0}), load_first(references + i, left, T{0}));
    const auto counted = hn::IfThenElse(hn::IsNaN(exponent), infinity, exponent);
    largest = hn::Max(
        largest, hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(left)), counted, largest));
    store_first<T>(exp_in(exponent), left, to + i);
  });
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

/// In place, values[i] = exp(values[i] + references[i] - u) with the u that makes the largest 1.
template <class T>
void exp_of_query(T* values, const T* references, Index count) {
  const Tag<T> d;
  auto largest = hn::Set(d, -std::numeric_limits<T>::infinity());
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto sum = hn::Add(load_first(values + i, left, -std::numeric_limits<T>::infinity()),
                             load_first(references + i, left, T{0}));
    largest = hn::Max(largest, sum);
    store_first<T>(sum, left, values + i);
  });
  const auto shift = hn::MaxOfLanes(d, largest);
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    store_first<T>(exp_in(hn::Sub(load_first(values + i, left, T{0}), shift)), left, values + i);
  });
}

/// largest[i] = max(largest[i], values[i]).
template <class T>
void max_each(const T* values, Index count, T* largest) {
  each_vector<T>(count, [&](Index i, Index left) HWY_ATTR {
    const auto max =
        hn::Max(load_first(values + i, left, T{0}), load_first(largest + i, left, T{0}));
    store_first<T>(max, left, largest + i);
  });
}

/// sums [features, width] += keys^T values over `count` rows; whole vectors of columns.
template <class T>
void add_outer_products(const T* keys, Index key_stride, const T* values, Index value_stride,
                        Index count, Index features, Index vectors, T* sums, Index width) {
  const Tag<T> d;
  Index f = 0;
  const auto step = [&]<Index kRows>() HWY_ATTR {
    T* const to = sums + f * width;
    strip_product<kRows, true>(keys + f, key_stride, values, value_stride, count, vectors,
                               [=](Index r, Index v, Vec<T> sum) HWY_ATTR {
                                 T* const at = to + r * width + v * kLanes<T>;
                                 hn::StoreU(hn::Add(hn::LoadU(d, at), sum), d, at);
                               });
    f += kRows;
  };
  while (features - f >= kMicroRows) step.template operator()<kMicroRows>();
  if (features - f >= 4) step.template operator()<4>();
  if (features - f >= 2) step.template operator()<2>();
  if (f < features) step.template operator()<1>();
}

/// sums[f] += sum of column f.
template <class T>
void add_columns(const T* rows, Index stride, Index count, Index columns, T* sums) {
  const Tag<T> d;
  Index f = 0;
  for (; f + 4 * kLanes<T> <= columns; f += 4 * kLanes<T>) {
    Vec<T> sum[4];
    SUBQUAD_UNROLL
    for (Index v = 0; v < 4; ++v) sum[v] = hn::LoadU(d, sums + f + v * kLanes<T>);
    for (Index j = 0; j < count; ++j) {
      SUBQUAD_UNROLL
      for (Index v = 0; v < 4; ++v) {
        sum[v] = hn::Add(sum[v], hn::LoadU(d, rows + j * stride + f + v * kLanes<T>));
      }
    }
    SUBQUAD_UNROLL
    for (Index v = 0; v < 4; ++v) hn::StoreU(sum[v], d, sums + f + v * kLanes<T>);
  }
  for (; f < columns; f += kLanes<T>) {
    const Index left = std::min(kLanes<T>, columns - f);
    auto sum = load_first(sums + f, left, T{0});
    for (Index j = 0; j < count; ++j) {
      sum = hn::Add(sum, load_first(rows + j * stride + f, left, T{0}));
    }
    store_first<T>(sum, left, sums + f);
  }
}

/// The keys of a chunk, packed for products: key j at [j / 64][f][j % 64].
template <class T>
void pack_keys_of_chunk(const T* keys, Index stride, Index count, Index features, T* to) {
  for (Index j = 0; j < count; j += kPanelColumns, to += features * kPanelColumns) {
    const T* lines[kPanelColumns];
    const Index columns = std::min(kPanelColumns, count - j);
    for (Index l = 0; l < columns; ++l) lines[l] = keys + (j + l) * stride;
    pack_transposed(lines, columns, features, to);
  }
}

/// Inner products of kMicroRows queries [.., features], of which `count` are written, with packed
/// keys below `end`: to(r, j) for first <= j <= row + r, and zeros for other j below `end`,
/// whatever these keys hold.
template <class T>
void score_rows(const T* queries, Index stride, Index features, const T* packed, Index row,
                Index first, Index end, Index count, T* to, Index to_stride) {
  const Tag<T> d;
  for (Index column = 0; column < end; column += kPanelColumns) {
    const Index columns = std::min(kPanelColumns, end - column);
    strip_product<kMicroRows, false>(
        queries, stride, packed + column * features, kPanelColumns, features,
        round_up(columns, kLanes<T>) / kLanes<T>, [=](Index r, Index v, Vec<T> sum) HWY_ATTR {
          if (r >= count) return;
          const Index begin = column + v * kLanes<T>, last = row + r;
          if (begin < first || begin + kLanes<T> - 1 > last) {
            const auto seen = std::clamp<Index>(last + 1 - begin, 0, kLanes<T>);
            const auto hidden = std::clamp<Index>(first - begin, 0, kLanes<T>);
            sum = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(seen)), sum);
            sum = hn::IfThenZeroElse(hn::FirstN(d, static_cast<std::size_t>(hidden)), sum);
          }
          hn::StoreU(sum, d, to + r * to_stride + begin);
        });
  }
}

/// out[r] = factors[r] * (rows[r] times the first `depth` rows of the panel), kMicroRows of them,
/// of which `count` are written.
template <class T>
void output_rows(const T* rows, Index stride, const T* panel, Index width, Index depth,
                 const T* factors, Index count, Index columns, float* out, Index out_stride) {
  const Tag<T> d;
  const hn::Rebind<float, Tag<T>> floats;
  strip_product<kMicroRows, false>(
      rows, stride, panel, width, depth, round_up(columns, kLanes<T>) / kLanes<T>,
      [=](Index r, Index v, Vec<T> sum) HWY_ATTR {
        if (r >= count) return;
        const auto scaled = hn::Mul(sum, hn::Set(d, factors[r]));
        float* const at = out + r * out_stride + v * kLanes<T>;
        const Index left = columns - v * kLanes<T>;
        const auto seen = hn::FirstN(floats, static_cast<std::size_t>(std::min(left, kLanes<T>)));
        if constexpr (std::is_same_v<T, float>) {
          if (left >= kLanes<T>) {
            hn::StoreU(scaled, d, at);
          } else {
            hn::BlendedStore(scaled, seen, d, at);
          }
        } else {
          hn::BlendedStore(hn::DemoteTo(floats, scaled), seen, floats, at);
        }
      });
}

/// Values of one row to `to`, zeros up to whole vectors. Returns whether all are finite.
HWY_INLINE bool load_values(const float* row, Index columns, float* to) {
  return pack_rows(&row, 1, columns, to, columns);
}
HWY_INLINE bool load_values(const float* row, Index columns, double* to) {
  const Index whole = round_up(columns, kLanes<double>);
  for (Index c = 0; c < columns; ++c) to[c] = row[c];
  std::fill(to + columns, to + whole, 0.0);
  return all_finite(to, columns);
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
