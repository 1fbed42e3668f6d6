#include "kernels/segments.h"

namespace subquad {
namespace {

/// Rows that a tile reads, or so.
constexpr Index kTileRows = 512;
/// Columns that are summed together, in registers.
constexpr Index kColumns = 64;

/// to[c] = factor * sum over rows of weight * row[c], or of row[c] where there are no weights.
template <class To>
void sum_rows(ConstView rows, const float* weights, double factor, To* to) {
  for (Index first = 0; first < rows.cols; first += kColumns) {
    const Index columns = std::min(kColumns, rows.cols - first);
    double sums[kColumns] = {};
    for (Index i = 0; i < rows.rows; ++i) {
      const float* const row = rows.row(i) + first;
      if (weights != nullptr) {
        const double weight = weights[i];
        for (Index c = 0; c < columns; ++c) sums[c] += weight * row[c];
      } else {
        for (Index c = 0; c < columns; ++c) sums[c] += row[c];
      }
    }
    for (Index c = 0; c < columns; ++c) to[first + c] = static_cast<To>(factor * sums[c]);
  }
}

/// Calls body(segment, its rows, worker) for all segments, tiles of them at a time.
template <class Body>
void for_segments(const Segments& segments, ConstView rows, Run& run, const Body& body) {
  const Index of_tile =
      std::max<Index>(1, kTileRows * segments.count / std::max<Index>(1, segments.rows));
  run.parallel((segments.count + of_tile - 1) / of_tile, [&](Index tile, Worker& worker) {
    const Index end = std::min(segments.count, (tile + 1) * of_tile);
    for (Index s = tile * of_tile; s < end; ++s) {
      body(s, rows.row_range(segments.begin(s), segments.size(s)), worker);
    }
  });
}

template <class To>
void means_to(const Segments& segments, ConstView rows, MatrixView<To> means, Run& run) {
  for_segments(segments, rows, run, [&](Index s, ConstView of_segment, Worker&) {
    sum_rows(of_segment, nullptr, 1 / static_cast<double>(of_segment.rows), means.row(s));
  });
}

}  // namespace

void segment_means(const Segments& segments, ConstView rows, View means, Run& run) {
  means_to(segments, rows, means, run);
}

void segment_means(const Segments& segments, ConstView rows, MatrixView<double> means, Run& run) {
  means_to(segments, rows, means, run);
}

void segment_sums(const Segments& segments, ConstView rows, const float* weights, View sums,
                  Run& run) {
  for_segments(segments, rows, run, [&](Index s, ConstView of_segment, Worker& worker) {
    sum_rows(of_segment, weights, 1, sums.row(s));
    worker.executed.multiply_adds += static_cast<double>(of_segment.rows * of_segment.cols);
  });
}

}  // namespace subquad
