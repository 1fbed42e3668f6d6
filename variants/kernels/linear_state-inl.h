#pragma once

// The state of linear attention: what keys have added up to.

#include <cmath>
#include <stdexcept>

#include "kernels/linear_attention.h"
#include "kernels/linear_chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// Logarithm of the scale before there is any key: far below all others, and finite, so that
/// differences are.
inline constexpr double kNoScale = -1e30;

/// Sizes of a state. Sums are held in strips of `width` columns, features below one another, and
/// behind those of a strip there is room for the values of a chunk: products with the state and
/// with these values are one product, then.
template <class T>
struct StateShape {
  Index features, value_dim;
  Index rows;  ///< of a strip: features and values
  Index width, strips;
  bool by_row;   ///< one scale for all features
  Index scales;  ///< logarithms of scales: none, one, or one for each feature
  Index gates;   ///< of a token

  StateShape(const LinearAttention<T>& options, const Problem& problem, Index chunk)
      : features(options.map.features(problem.dim)),
        value_dim(problem.value_dim),
        rows(features + (problem.causal ? chunk : 0)),
        width(std::min(kPanelColumns, round_up(value_dim, kLanes<T>))),
        strips((value_dim + width - 1) / width),
        by_row(options.map.scale() == FeatureScale::row),
        scales(by_row                                         ? 1
               : options.map.scale() == FeatureScale::feature ? features
                                                              : 0),
        gates(options.forgetting != nullptr ? options.forgetting->width(features) : 0) {
    if (gates > 0 && (scales > 0 || !problem.causal)) {
      throw std::logic_error("linear attention forgets only where it is causal, features unscaled");
    }
  }

  static constexpr Index padded(Index count) { return round_up(count, kPanelColumns); }
  /// Elements of one state.
  Index size() const {
    return padded(strips * rows * width) + padded(features) + 2 * padded(scales) + padded(gates);
  }
  Index columns(Index strip) const { return std::min(width, value_dim - strip * width); }
  Index vectors(Index strip) const { return round_up(columns(strip), kLanes<T>) / kLanes<T>; }
};

/// Views into the memory of one state.
template <class T>
struct State {
  State(const StateShape<T>& shape, T* memory)
      : shape(&shape),
        sums(memory),
        normaliser(sums + shape.padded(shape.strips * shape.rows * shape.width)),
        scale(normaliser + shape.padded(shape.features)),
        added_scale(scale + shape.padded(shape.scales)),
        kept(added_scale + shape.padded(shape.scales)) {}

  T* strip(Index number) const { return sums + number * shape->rows * shape->width; }
  /// Where the values of a chunk go.
  T* values(Index number) const { return strip(number) + shape->features * shape->width; }

  void clear() const {
    for (Index s = 0; s < shape->strips; ++s) {
      std::fill_n(strip(s), shape->features * shape->width, T{0});
    }
    std::fill_n(normaliser, shape->features, T{0});
    std::fill_n(scale, shape->scales, static_cast<T>(kNoScale));
    std::fill_n(added_scale, shape->scales, static_cast<T>(kNoScale));
    std::fill_n(kept, shape->gates, T{0});
  }
  void poison() const {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    std::fill_n(normaliser, shape->features, nan);
    for (Index s = 0; s < shape->strips; ++s) {
      std::fill_n(strip(s), shape->features * shape->width, nan);
    }
  }
  /// Sums of one feature, and its normaliser, times `factor`.
  void scale_feature(Index feature, T factor) const {
    if (factor == 1) return;
    for (Index s = 0; s < shape->strips; ++s) {
      scale_all(strip(s) + feature * shape->width, factor, shape->width);
    }
    normaliser[feature] *= factor;
  }

  const StateShape<T>* shape;
  T* sums;
  T* normaliser;   ///< [features]
  T* scale;        ///< [scales]: sums are to be multiplied by exp of it
  T* added_scale;  ///< [scales]: the same of what was added since the state before
  T* kept;         ///< [gates]: logarithm of what is left of the state before
};

/// Sums in `to`, relative to its `added_scale`, become those of `before` and these together, for
/// features [begin, end). `scale_before` is that of a `FeatureScale::row`, and is taken along.
template <class T>
void advance(const State<T>& before, const State<T>& to, Index begin, Index end, T& scale_before) {
  const StateShape<T>& shape = *to.shape;
  const bool by_row = shape.by_row;
  const T row_scale = by_row ? std::max(scale_before, to.added_scale[0]) : T{0};
  for (Index f = begin; f < end; ++f) {
    T old_factor = 1, added_factor = 1;
    if (shape.scales > 0) {
      const Index at = by_row ? 0 : f;
      const T old_scale = by_row ? scale_before : before.scale[f];
      const T scale = by_row ? row_scale : std::max(old_scale, to.added_scale[at]);
      old_factor = std::exp(old_scale - scale);
      added_factor = std::exp(to.added_scale[at] - scale);
      if (!by_row) to.scale[f] = scale;
    }
    if (shape.gates > 0) old_factor *= std::exp(to.kept[shape.gates == 1 ? 0 : f]);
    to.scale_feature(f, added_factor);
    for (Index s = 0; s < shape.strips; ++s) {
      T* const sums = to.strip(s) + f * shape.width;
      add_scaled(sums, old_factor, before.strip(s) + f * shape.width, shape.width, sums);
    }
    to.normaliser[f] += old_factor * before.normaliser[f];
  }
  if (by_row) {
    scale_before = row_scale;
    if (begin == 0) to.scale[0] = row_scale;
  }
}

/// Features of consecutive keys as the map and the gates give them.
template <class T>
struct KeyRows {
  MatrixView<T> features;  ///< [count, features]
  T* logs;                 ///< [count] of a `FeatureScale::row`, or null
  MatrixView<T> gates;     ///< [count, gates], logarithms

  KeyRows row_range(Index begin, Index count) const {
    return {features.row_range(begin, count), logs == nullptr ? nullptr : logs + begin,
            gates.data == nullptr ? gates : gates.row_range(begin, count)};
  }
};

/// `to` [count, features] = features relative to `scale` (that of a state, as far as it has one).
template <class T>
void features_relative_to(const KeyRows<T>& keys, const T* scale, Index scales, MatrixView<T> to) {
  const Index features = keys.features.cols;
  for (Index j = 0; j < keys.features.rows; ++j) {
    if (keys.logs != nullptr) {
      const T factor = std::exp(keys.logs[j] - scale[0]);
      for (Index f = 0; f < features; ++f) to(j, f) = factor * keys.features(j, f);
    } else if (scales > 0) {
      exp_relative(keys.features.row(j), scale, features, to.row(j));
    } else {
      std::copy_n(keys.features.row(j), features, to.row(j));
    }
  }
}

/// Raises `scale` to what the keys need.
template <class T>
void raise_scale(const KeyRows<T>& keys, Index scales, T* scale) {
  for (Index j = 0; j < keys.features.rows && scales > 0; ++j) {
    if (keys.logs != nullptr) {
      scale[0] = std::max(scale[0], keys.logs[j]);
    } else {
      max_each(keys.features.row(j), scales, scale);
    }
  }
}

/// Takes from the state what the gates of some tokens take, and from each of these tokens' features
/// what the gates of those after it do. `left` is room for as many numbers as there are gates.
template <class T>
void fade(const State<T>& state, MatrixView<T> gates, MatrixView<T> rows, T* left) {
  const StateShape<T>& shape = *state.shape;
  // In logarithms: products of many gates fall below all numbers before their logarithms do.
  std::fill_n(left, shape.gates, T{0});
  for (Index j = rows.rows; j-- > 0;) {
    if (shape.gates == 1) {
      scale_all(rows.row(j), std::exp(left[0]), shape.features);
    } else {
      scale_by_exp(rows.row(j), left, shape.features);
    }
    add_scaled(left, T{1}, gates.row(j), shape.gates, left);
  }
  add_scaled(state.kept, T{1}, left, shape.gates, state.kept);
  for (Index f = 0; f < shape.features; ++f) {
    state.scale_feature(f, std::exp(left[shape.gates == 1 ? 0 : f]));
  }
}

/// Where rows of values lie: row j of strip s at first + s * strip_step + j * stride.
template <class T>
struct ValueRows {
  const T* first;
  Index strip_step, stride;

  ValueRows from(Index row) const { return {first + row * stride, strip_step, stride}; }
};

/// Adds keys with their values to a state, of whose two scales the one named may be raised.
/// `scratch` [count + 1, features] is for features that have to be changed first.
template <class T>
void add_keys(const State<T>& state, T* scale, const KeyRows<T>& keys, MatrixView<T> scratch,
              const ValueRows<T>& values, RowsAhead& ahead, Worker& worker) {
  const StateShape<T>& shape = *state.shape;
  const Index count = keys.features.rows, features = shape.features;
  T* const spare = scratch.row(count);
  MatrixView<T> rows = keys.features;
  if (shape.scales > 0) {
    std::copy_n(scale, shape.scales, spare);
    raise_scale(keys, shape.scales, scale);
    for (Index f = 0; f < features; ++f) {
      const Index at = shape.by_row ? 0 : f;
      state.scale_feature(f, std::exp(spare[at] - scale[at]));
    }
  }
  if (shape.scales > 0 || shape.gates > 0) {
    rows = scratch.row_range(0, count);
    features_relative_to(keys, scale, shape.scales, rows);
    if (!shape.by_row && shape.scales > 0) {
      worker.executed.exponentials += static_cast<double>(count * features);
    }
  }
  if (shape.gates > 0) {
    fade(state, keys.gates, rows, spare);
    worker.executed.exponentials += static_cast<double>(count * shape.gates);
  }
  for (Index s = 0; s < shape.strips; ++s) {
    add_outer_products(rows.data, rows.stride, values.first + s * values.strip_step, values.stride,
                       count, features, shape.vectors(s), state.strip(s), shape.width, ahead);
    worker.executed.multiply_adds +=
        static_cast<double>(count * features * shape.vectors(s) * kLanes<T>);
  }
  add_columns(rows.data, rows.stride, count, features, state.normaliser);
}

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
