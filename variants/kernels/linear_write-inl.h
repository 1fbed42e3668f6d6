#pragma once

// Outputs of a chunk of queries: from the state before the chunk, and from the chunk's own keys.

#include <optional>

#include "hwy/cache_control.h"
#include "kernels/linear_gates-inl.h"
#include "kernels/linear_state-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// Exponents beyond it end what is relative to one scale: so many products and sums of such powers
/// are far from overflow.
template <class T>
inline constexpr T kLargestExponent = std::is_same_v<T, float> ? 30 : 250;

template <class T>
MatrixView<T> take_rows(Arena& arena, Index rows, Index cols) {
  return {arena.take<T>(rows * cols).data(), rows, cols};
}

/// One chunk: queries, and what they may see.
template <class T>
struct Chunk {
  ConstView queries;
  Index first;  ///< position of the first query
  View out;
  State<T> state;       ///< before the chunk; may be changed if there are keys
  KeyRows<T> keys;      ///< of the chunk, key j at the position of query j; none if not causal
  ValueRows<T> values;  ///< of these keys, behind the state's sums
  Index finite_values;  ///< rows of values before the first that is not finite
  Index keys_before;    ///< how many the state is of
  RowsAhead ahead;      ///< what is read next
  bool past_caches;     ///< outputs go straight to memory
};

template <class T>
class ChunkWriter {
 public:
  ChunkWriter(const LinearAttention<T>& options, const StateShape<T>& shape, Index chunk,
              bool causal, Worker& worker)
      : options_(options), shape_(shape), worker_(worker) {
    Arena& arena = worker.scratch;
    rows_ = take_rows<T>(arena, chunk + kMicroRows, row_length(shape, chunk, causal));
    factors_ = arena.take<T>(chunk + kMicroRows).data();
    logs_ = arena.take<T>(chunk).data();
    references_ = arena.take<T>(shape.scales).data();
    column_factors_ = arena.take<T>(shape.scales).data();
    if (relative_queries(options, shape)) raw_ = take_rows<T>(arena, chunk, shape.features);
    if (!causal) return;
    keys_ = take_rows<T>(arena, chunk + 1, shape.features);
    packed_ = arena.take<T>(shape.padded(chunk) * shape.features).data();
    if (shape.gates > 0) sums_ = take_rows<T>(arena, chunk, shape.gates);
    if (shape.gates > 1) gate_scratch_.emplace(arena, chunk, shape.features);
  }

  static void declare(Scratch& scratch, const LinearAttention<T>& options,
                      const StateShape<T>& shape, Index chunk, bool causal) {
    const auto take = [&](Index count) { scratch.template worker<T>(count); };
    take((chunk + kMicroRows) * row_length(shape, chunk, causal));
    take(chunk + kMicroRows);
    take(chunk);
    take(shape.scales);
    take(shape.scales);
    if (relative_queries(options, shape)) take(chunk * shape.features);
    if (!causal) return;
    take((chunk + 1) * shape.features);
    take(shape.padded(chunk) * shape.features);
    if (shape.gates > 0) take(chunk * shape.gates);
    if (shape.gates > 1) GateScratch<T>::declare(scratch, chunk, shape.features);
  }

  void write(Chunk<T>& chunk) {
    const Index count = chunk.queries.rows;
    const MatrixView<T> mapped =
        (raw_.data != nullptr ? raw_ : rows_.col_range(0, shape_.features)).row_range(0, count);
    options_.map.map_queries(chunk.queries, chunk.first, mapped, shape_.by_row ? logs_ : nullptr,
                             worker_);
    for (Index begin = 0; begin < count;) begin = write_part(chunk, begin);
    if (chunk.past_caches) hwy::FlushStream();
    for (Index i = chunk.finite_values; i < count; ++i) {
      std::fill_n(chunk.out.row(i), chunk.out.cols, std::numeric_limits<float>::quiet_NaN());
    }
  }

 private:
  /// Queries take up the scales of the keys' features.
  static bool relative_queries(const LinearAttention<T>& options, const StateShape<T>& shape) {
    return shape.scales > 0 && !shape.by_row && options.normaliser != Normaliser::positions;
  }
  static Index row_length(const StateShape<T>& shape, Index chunk, bool causal) {
    return shape.features + (causal ? shape.padded(chunk) : 0);
  }

  /// Queries from `begin` on, as many as can be relative to one scale; returns the end of them.
  Index write_part(Chunk<T>& chunk, Index begin) {
    const Index count = chunk.queries.rows, keys = chunk.keys.features.rows;
    const bool own_keys = begin < keys;
    const T* references = chunk.state.scale;
    Index end = count;
    if (own_keys && shape_.scales > 0) {
      end = choose_scale(chunk, begin);
      references = references_;
    }
    if (raw_.data != nullptr) {
      for (Index i = begin; i < end; ++i) {
        std::copy_n(raw_.row(i), shape_.features, rows_.row(i));
        exp_of_query(rows_.row(i), references, shape_.features);
      }
      worker_.executed.exponentials += static_cast<double>((end - begin) * shape_.features);
    }
    if (own_keys) {
      make_products(chunk, begin, end);
      fade_queries(begin, end);
    }
    for (Index i = begin; i < end; ++i) {
      factors_[i] = factor(chunk, i, own_keys ? std::min(i + 1, keys) : 0);
    }
    for (Index i = begin; i < end; i += kMicroRows) {
      chunk.ahead.ask(kMicroRows);
      const Index rows = std::min(kMicroRows, end - i);
      const Index depth = shape_.features + (own_keys ? std::min(i + rows, keys) : 0);
      for (Index s = 0; s < shape_.strips; ++s) {
        output_rows(rows_.row(i), rows_.stride, chunk.state.strip(s), shape_.width, depth,
                    factors_ + i, rows, shape_.columns(s), chunk.out.row(i) + s * shape_.width,
                    chunk.out.stride, chunk.past_caches);
        worker_.executed.multiply_adds +=
            static_cast<double>(rows * depth * shape_.vectors(s) * kLanes<T>);
      }
    }
    if (end < count && own_keys) {
      const Index last = std::min(end, keys);
      add_keys(chunk.state, chunk.state.scale, chunk.keys.row_range(begin, last - begin),
               keys_.row_range(0, last - begin + 1), chunk.values.from(begin), chunk.ahead,
               worker_);
    }
    return end;
  }

  /// The larger of the state's scale and that of the first key, whom all queries see, becomes that
  /// of keys [begin, end), which are put into `keys_`; `end` is before a key that outgrows it.
  Index choose_scale(const Chunk<T>& chunk, Index begin) {
    const KeyRows<T>& keys = chunk.keys;
    std::copy_n(chunk.state.scale, shape_.scales, references_);
    raise_scale(keys.row_range(begin, 1), shape_.scales, references_);
    for (Index c = 0; c < shape_.scales; ++c) {
      column_factors_[c] = std::exp(chunk.state.scale[c] - references_[c]);
    }
    for (Index j = begin; j < keys.features.rows; ++j) {
      T largest = 0;
      if (shape_.by_row) {
        largest = keys.logs[j] - references_[0];
        const T power = std::exp(largest);
        for (Index f = 0; f < shape_.features; ++f) keys_(j, f) = power * keys.features(j, f);
      } else {
        largest = exp_relative(keys.features.row(j), references_, shape_.features, keys_.row(j));
        worker_.executed.exponentials += static_cast<double>(shape_.features);
      }
      // Not >, so that a NaN ends it too.
      if (j > begin && !(largest <= kLargestExponent<T>)) return j;
    }
    return chunk.queries.rows;
  }

  /// Products of queries [begin, end) with the keys that each of them sees, behind their features.
  void make_products(const Chunk<T>& chunk, Index begin, Index end) {
    const Index keys = chunk.keys.features.rows;
    const MatrixView<T> features =
        shape_.scales > 0 ? keys_.row_range(0, keys) : chunk.keys.features;
    if (shape_.gates > 0) sum_gates(chunk.keys.gates);
    if (shape_.gates > 1) {
      return gated_scores(rows_.row_range(0, end), features, chunk.keys.gates, *gate_scratch_,
                          worker_);
    }
    pack_keys_of_chunk(features.data, features.stride, std::min(end, keys), shape_.features,
                       packed_);
    for (Index i = begin; i < end; i += kMicroRows) {
      // Whole micro-kernels, wherever the part ends: fewer keys would add up in another order.
      const Index rows = std::min(kMicroRows, end - i), reach = std::min(i + kMicroRows, keys);
      score_rows(rows_.row(i), rows_.stride, shape_.features, packed_, i, begin, reach, rows,
                 rows_.row(i) + shape_.features, rows_.stride);
      worker_.executed.multiply_adds += static_cast<double>(rows * reach * shape_.features);
    }
    if (shape_.gates == 1) fade_products(chunk.keys.gates, end);
  }

  /// Products of a query and a key, times what the gates between them let through.
  void fade_products(MatrixView<T> gates, Index end) {
    T* const between = logs_;
    for (Index i = 0; i < end; ++i) {
      const Index seen = std::min(i + 1, gates.rows);
      if (i < gates.rows) {
        add_to_each(between, gates(i, 0), i);
        between[i] = 0;
      }
      scale_by_exp(rows_.row(i) + shape_.features, between, seen);
      worker_.executed.exponentials += static_cast<double>(seen);
    }
  }

  /// Sums of logarithms of gates up to each query; those beyond the keys pass none.
  void sum_gates(MatrixView<T> gates) {
    for (Index i = 0; i < sums_.rows; ++i) {
      for (Index g = 0; g < shape_.gates; ++g) {
        sums_(i, g) = (i > 0 ? sums_(i - 1, g) : T{0}) + (i < gates.rows ? gates(i, g) : T{0});
      }
    }
  }

  /// From here on features of queries are for the product with the state.
  void fade_queries(Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* const row = rows_.row(i);
      if (shape_.by_row) {
        scale_all(row, column_factors_[0], shape_.features);
      } else if (raw_.data != nullptr) {
        scale_each(row, column_factors_, shape_.features);
      }
      if (shape_.gates == 1) scale_all(row, std::exp(sums_(i, 0)), shape_.features);
      if (shape_.gates > 1) scale_by_exp(row, sums_.row(i), shape_.features);
    }
  }

  /// What the sums of query i are multiplied by; `seen` keys of the chunk are seen.
  T factor(const Chunk<T>& chunk, Index i, Index seen) {
    if (options_.normaliser == Normaliser::count) {
      return T{1} / static_cast<T>(chunk.keys_before + seen);
    }
    if (options_.normaliser != Normaliser::weights) return 1;
    const T* const row = rows_.row(i);
    const T sum =
        dot_product(row, chunk.state.normaliser, shape_.features, row + shape_.features, seen);
    worker_.executed.multiply_adds += static_cast<double>(shape_.features);
    worker_.executed.negative_denominators += sum < 0;
    const T norm = sum + static_cast<T>(options_.epsilon);
    return 1 / (options_.least > 0 ? std::max(norm, static_cast<T>(options_.least)) : norm);
  }

  const LinearAttention<T>& options_;
  const StateShape<T>& shape_;
  Worker& worker_;
  MatrixView<T> rows_;  ///< [chunk + kMicroRows, features, then products with keys]
  MatrixView<T> raw_;   ///< logarithms of queries' features, where they are relative to keys'
  MatrixView<T> keys_;  ///< features of keys, where they are relative to a scale
  MatrixView<T> sums_;
  /// Logarithms: of queries' scales, which cancel; later, of the gates between a query and each
  /// key.
  T* logs_;
  T *factors_, *references_, *column_factors_, *packed_ = nullptr;
  std::optional<GateScratch<T>> gate_scratch_;
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
