#include "kernels/few_queries.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/double_softmax.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

constexpr Index kStretches = 16;
constexpr Index kStretchKeys = 1024;
/// Of the double form: queries of a tile, and keys that are widened at a time.
constexpr Index kDoubleRows = 96;
constexpr Index kDoubleKeys = 256;

template <class T>
constexpr bool kIsDouble = std::is_same_v<T, double>;

/// How queries and keys are cut.
struct Cut {
  Index rows;    ///< queries of a tile
  Index tiles;   ///< of queries
  Index length;  ///< keys of a stretch
  Index parts;   ///< stretches
};

template <class T>
Cut cut(Index queries, Index keys, Index dim, Index value_dim) {
  const Index rows =
      std::min(queries, kIsDouble<T> ? kDoubleRows : softmax_tile_rows(dim, value_dim));
  const Index length = std::max(kStretchKeys, (keys + kStretches - 1) / kStretches);
  return {rows, (queries + rows - 1) / rows, length, (keys + length - 1) / length};
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

template <class T>
void attend_parts(MatrixView<const T> q, const Stretch& keys, MatrixView<double> out, Run& run) {
  const Index queries = q.rows;
  const Cut cut = subquad::cut<T>(queries, keys.k.rows, q.cols, keys.v.cols);
  const MatrixView<T> partial(run.shared().take<T>(cut.parts * queries * out.cols).data(),
                              cut.parts * queries, out.cols);
  T* const log_sum_exp = run.shared().take<T>(cut.parts * queries).data();
  run.parallel(cut.parts * cut.tiles, [&](Index index, Worker& worker) {
    const Index row = index % cut.tiles * cut.rows, part = index / cut.tiles;
    const Index rows = std::min(cut.rows, queries - row), begin = part * cut.length;
    const Index count = std::min(cut.length, keys.k.rows - begin), at = part * queries + row;
    attend(q.row_range(row, rows),
           {keys.k.row_range(begin, count), keys.v.row_range(begin, count), keys.scale},
           partial.row_range(at, rows), log_sum_exp + at, worker);
  });
  for (Index i = 0; i < queries; ++i) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Index part = 0; part < cut.parts; ++part) {
      largest = std::max<double>(largest, log_sum_exp[part * queries + i]);
    }
    std::fill_n(out.row(i), out.cols, 0.0);
    for (Index part = 0; part < cut.parts; ++part) {
      const double weight = std::exp(log_sum_exp[part * queries + i] - largest);
      const T* const from = partial.row(part * queries + i);
      sum += weight;
      for (Index c = 0; c < out.cols; ++c) out(i, c) += weight * from[c];
    }
    for (Index c = 0; c < out.cols; ++c) out(i, c) /= sum;
  }
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
  const Cut cut = subquad::cut<T>(queries, keys, dim, value_dim);
  scratch.shared<T>(cut.parts * queries * value_dim).template shared<T>(cut.parts * queries);
  Scratch attending;
  if constexpr (kIsDouble<T>) {
    const Index piece = std::min(kDoubleKeys, keys);
    attending.worker<double>(piece * dim).worker<double>(piece * value_dim);
    attending.worker_bytes += double_softmax_scratch_bytes(cut.rows, dim, value_dim);
  } else {
    attending.worker_bytes = softmax_scratch_bytes(cut.rows, dim, value_dim);
  }
  scratch.worker_bytes = std::max(scratch.worker_bytes, attending.worker_bytes);
}

template void declare_stretches<float>(Index, Index, Index, Index, Scratch&);
template void declare_stretches<double>(Index, Index, Index, Index, Scratch&);

}  // namespace subquad
