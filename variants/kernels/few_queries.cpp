#include "kernels/few_queries.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/double_softmax.h"
#include "kernels/segments.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

/// Of the double form: queries of a tile, and keys that are widened at a time.
constexpr Index kDoubleRows = 96;
constexpr Index kDoubleKeys = 256;

template <class T>
constexpr bool kIsDouble = std::is_same_v<T, double>;

/// Queries of a tile.
template <class T>
Index tile_rows(Index queries, Index dim, Index value_dim) {
  return std::min(queries, kIsDouble<T> ? kDoubleRows : softmax_tile_rows(dim, value_dim));
}

struct Stretch {
  ConstView k, v;
  double scale;
};

void attend(ConstView q, const Stretch& keys, View out, float* log_sum_exp, Worker& worker) {
  KeySpan spans[1];
  KeyPlan plan(keys.k.rows, spans, {});
  plan.all(0, keys.k.rows);
  streaming_softmax({.q = q,
                     .k = keys.k,
                     .v = keys.v,
                     .out = out,
                     .row_log_sum_exp = log_sum_exp,
                     .scale = static_cast<float>(keys.scale)},
                    {0, q.rows}, plan, nullptr, worker);
}

void attend(MatrixView<const double> q, const Stretch& keys, MatrixView<double> out,
            double* log_sum_exp, Worker& worker) {
  for (Index begin = 0; begin < keys.k.rows; begin += kDoubleKeys) {
    const std::size_t mark = worker.scratch.used();
    const Index count = std::min(kDoubleKeys, keys.k.rows - begin);
    double_softmax({.q = q,
                    .k = widened(keys.k.row_range(begin, count), worker),
                    .v = widened(keys.v.row_range(begin, count), worker),
                    .out = out,
                    .row_log_sum_exp = log_sum_exp,
                    .merge = begin > 0,
                    .scale = keys.scale},
                   worker);
    worker.scratch.rewind(mark);
  }
}

/// Row i of out: of rows i, i + queries, ... of `partial`, each weighted by its share of the whole.
template <class T>
void merge_parts(MatrixView<const T> partial, const T* log_sum_exp, MatrixView<double> out) {
  const Index queries = out.rows;
  for (Index i = 0; i < queries; ++i) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Index at = i; at < partial.rows; at += queries) {
      largest = std::max<double>(largest, log_sum_exp[at]);
    }
    std::fill_n(out.row(i), out.cols, 0.0);
    for (Index at = i; at < partial.rows; at += queries) {
      const double weight = std::exp(log_sum_exp[at] - largest);
      sum += weight;
      for (Index c = 0; c < out.cols; ++c) out(i, c) += weight * partial(at, c);
    }
    for (Index c = 0; c < out.cols; ++c) out(i, c) /= sum;
  }
}

template <class T>
void attend_parts(MatrixView<const T> q, const Stretch& keys, MatrixView<double> out, Run& run) {
  const Index queries = q.rows;
  const Segments stretches = Segments::stretches(keys.k.rows);
  const Index rows = tile_rows<T>(queries, q.cols, keys.v.cols);
  const Index tiles = (queries + rows - 1) / rows;
  const MatrixView<T> partial(run.shared().take<T>(stretches.count * queries * out.cols).data(),
                              stretches.count * queries, out.cols);
  T* const log_sum_exp = run.shared().take<T>(stretches.count * queries).data();
  run.parallel(stretches.count * tiles, [&](Index index, Worker& worker) {
    const Index row = index % tiles * rows, count = std::min(rows, queries - row);
    const Index part = index / tiles, at = part * queries + row;
    const Index begin = stretches.begin(part), size = stretches.size(part);
    attend(q.row_range(row, count),
           {keys.k.row_range(begin, size), keys.v.row_range(begin, size), keys.scale},
           partial.row_range(at, count), log_sum_exp + at, worker);
  });
  merge_parts<T>(partial, log_sum_exp, out);
}

}  // namespace

void attend_by_stretches(ConstView q, ConstView k, ConstView v, double scale,
                         MatrixView<double> out, Run& run) {
  attend_parts<float>(q, {k, v, scale}, out, run);
}

void attend_by_stretches(MatrixView<const double> q, ConstView k, ConstView v, double scale,
                         MatrixView<double> out, Run& run) {
  attend_parts<double>(q, {k, v, scale}, out, run);
}

template <class T>
void declare_stretches(Index queries, Index keys, Index dim, Index value_dim, Scratch& scratch) {
  const Index parts = Segments::stretches(keys).count;
  const Index rows = tile_rows<T>(queries, dim, value_dim);
  scratch.shared<T>(parts * queries * value_dim).template shared<T>(parts * queries);
  Scratch attending;
  if constexpr (kIsDouble<T>) {
    const Index piece = std::min(kDoubleKeys, keys);
    attending.worker<double>(piece * dim).worker<double>(piece * value_dim);
    attending.worker_bytes += double_softmax_scratch_bytes(rows, dim, value_dim);
  } else {
    attending.worker_bytes = softmax_scratch_bytes(rows, dim, value_dim);
  }
  scratch.worker_bytes = std::max(scratch.worker_bytes, attending.worker_bytes);
}

template void declare_stretches<float>(Index, Index, Index, Index, Scratch&);
template void declare_stretches<double>(Index, Index, Index, Index, Scratch&);

}  // namespace subquad
