#pragma once

// Inner loops of linear attention: features of a chunk of tokens against a state and against one
// another. T is float or double.

#include <algorithm>
#include <limits>

#include "kernels/prefetch-inl.h"
#include "kernels/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

HWY_INLINE Vec<float> exp_in(Vec<float> x) { return exp_of(x); }
/// Of doubles up to 44; 0 where the result would not be a normal number.
HWY_INLINE Vec<double> exp_in(Vec<double> x) {
  return exp2_of<double>(hn::Mul(x, hn::Set(Tag<double>(), 1.4426950408889634)));
}

/// A whole vector in memory, or the first lanes of one.
template <class T>
struct WholeVector {
  HWY_INLINE Vec<T> load(const T* from, T = 0) const { return hn::LoadU(Tag<T>(), from); }
  HWY_INLINE void store(Vec<T> value, T* to) const { hn::StoreU(value, Tag<T>(), to); }
};
template <class T>
struct PartOfVector {
  Index count;
  HWY_INLINE Vec<T> load(const T* from, T other = 0) const {
    return load_first(from, count, other);
  }
  HWY_INLINE void store(Vec<T> value, T* to) const { store_first<T>(value, count, to); }
};

/// Calls body(begin, lanes) for each vector of `count` elements.
template <class T, class Body>
HWY_INLINE void each_vector(Index count, Body body) {
  Index i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) body(i, WholeVector<T>());
  if (i < count) body(i, PartOfVector<T>{count - i});
}

/// Sum of a[i] * b[i], and of what `more` holds.
template <class T>
T dot_product(const T* a, const T* b, Index count, const T* more = nullptr, Index more_count = 0) {
  const Tag<T> d;
  Vec<T> sums[2] = {hn::Zero(d), hn::Zero(d)};
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    sums[0] = hn::MulAdd(lanes.load(a + i), lanes.load(b + i), sums[0]);
  });
  each_vector<T>(more_count, [&](Index i, auto lanes)
                                 HWY_ATTR { sums[1] = hn::Add(sums[1], lanes.load(more + i)); });
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sums[0], sums[1])));
}

/// values[i] *= factors[i].
template <class T>
void scale_each(T* values, const T* factors, Index count) {
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto product = hn::Mul(lanes.load(values + i), lanes.load(factors + i));
    lanes.store(product, values + i);
  });
}

template <class T>
void scale_all(T* values, T factor, Index count) {
  const Tag<T> d;
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    lanes.store(hn::Mul(lanes.load(values + i), hn::Set(d, factor)), values + i);
  });
}

/// to[i] = a[i] + factor * b[i], where `a` and `to` may be the same.
template <class T>
void add_scaled(const T* a, T factor, const T* b, Index count, T* to) {
  const Tag<T> d;
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto sum = hn::MulAdd(hn::Set(d, factor), lanes.load(b + i), lanes.load(a + i));
    lanes.store(sum, to + i);
  });
}

/// values[i] *= exp(logs[i]).
template <class T>
void scale_by_exp(T* values, const T* logs, Index count) {
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto product = hn::Mul(lanes.load(values + i), exp_in(lanes.load(logs + i)));
    lanes.store(product, values + i);
  });
}

/// values[i] += added.
template <class T>
void add_to_each(T* values, T added, Index count) {
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    lanes.store(hn::Add(lanes.load(values + i), hn::Set(Tag<T>(), added)), values + i);
  });
}

/// to[i] = exp(logs[i] - references[i]). Returns the largest exponent, infinity where one is a NaN.
template <class T>
T exp_relative(const T* logs, const T* references, Index count, T* to) {
  const Tag<T> d;
  const T lowest = -std::numeric_limits<T>::infinity();
  const auto infinity = hn::Set(d, -lowest);
  auto largest = hn::Set(d, lowest);
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto exponent = hn::Sub(lanes.load(logs + i, lowest), lanes.load(references + i));
    largest = hn::Max(largest, hn::IfThenElse(hn::IsNaN(exponent), infinity, exponent));
    lanes.store(exp_in(exponent), to + i);
  });
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

/// In place, values[i] = exp(values[i] + references[i] - u) with the u that makes the largest 1.
template <class T>
void exp_of_query(T* values, const T* references, Index count) {
  const Tag<T> d;
  auto largest = hn::Set(d, -std::numeric_limits<T>::infinity());
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto sum = hn::Add(lanes.load(values + i, -std::numeric_limits<T>::infinity()),
                             lanes.load(references + i));
    largest = hn::Max(largest, sum);
    lanes.store(sum, values + i);
  });
  const auto shift = hn::MaxOfLanes(d, largest);
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    lanes.store(exp_in(hn::Sub(lanes.load(values + i), shift)), values + i);
  });
}

/// largest[i] = max(largest[i], values[i]).
template <class T>
void max_each(const T* values, Index count, T* largest) {
  each_vector<T>(count, [&](Index i, auto lanes) HWY_ATTR {
    const auto max = hn::Max(lanes.load(values + i), lanes.load(largest + i));
    lanes.store(max, largest + i);
  });
}

/// sums [features, width] += keys^T values over `count` rows; whole vectors of columns. What is
/// needed next is asked for on the way.
template <class T>
void add_outer_products(const T* keys, Index key_stride, const T* values, Index value_stride,
                        Index count, Index features, Index vectors, T* sums, Index width,
                        RowsAhead& ahead) {
  const Tag<T> d;
  Index f = 0;
  const auto step = [&]<Index kRows>() HWY_ATTR {
    ahead.ask(kRows);
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
/// of which `count` are written; with `past_caches`, straight to memory (whole, aligned vectors
/// only).
template <class T>
void output_rows(const T* rows, Index stride, const T* panel, Index width, Index depth,
                 const T* factors, Index count, Index columns, float* out, Index out_stride,
                 bool past_caches) {
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
          if (past_caches) {
            hn::Stream(scaled, d, at);
          } else if (left >= kLanes<T>) {
            hn::StoreU(scaled, d, at);
          } else {
            hn::BlendedStore(scaled, seen, d, at);
          }
        } else {
          hn::BlendedStore(hn::DemoteTo(floats, scaled), seen, floats, at);
        }
      });
}

/// Values of rows to `to` [count, width], zeros up to whole vectors. Returns whether all are
/// finite.
inline bool load_values(ConstView rows, float* to, Index width) {
  bool finite = true;
  const float* lines[kPanelColumns];
  for (Index j = 0; j < rows.rows; j += kPanelColumns) {
    const Index count = std::min(kPanelColumns, rows.rows - j);
    for (Index l = 0; l < count; ++l) lines[l] = rows.row(j + l);
    finite = pack_rows(lines, count, rows.cols, to + j * width, width) && finite;
  }
  return finite;
}
inline bool load_values(ConstView rows, double* to, Index width) {
  bool finite = true;
  for (Index j = 0; j < rows.rows; ++j, to += width) {
    for (Index c = 0; c < width; ++c) to[c] = c < rows.cols ? rows(j, c) : 0.0;
    finite = all_finite(to, rows.cols) && finite;
  }
  return finite;
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
