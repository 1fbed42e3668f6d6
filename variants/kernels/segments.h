#pragma once

#include <algorithm>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Consecutive rows in segments, each of which one row is to stand for.
struct Segments {
  Index rows = 0;
  Index count = 0;
  Index length = 0;  ///< of each but the last, which may be shorter; 0: they differ by at most one

  /// So many, as equal as can be; `count` is not above `rows`.
  static Segments equal(Index rows, Index count) { return {rows, count, 0}; }
  /// Of `length` rows each, the last of what is left.
  static Segments of_length(Index rows, Index length) {
    return {rows, (rows + length - 1) / length, length};
  }

  /// Long ones, but `kMostStretches` at the most: threads share a sum over all rows, which is then
  /// added up stretch by stretch.
  static Segments stretches(Index rows) {
    return of_length(rows, std::max<Index>(1024, (rows + kMostStretches - 1) / kMostStretches));
  }
  static constexpr Index kMostStretches = 16;

  Index begin(Index segment) const {
    return length > 0 ? std::min(segment * length, rows) : segment * rows / count;
  }
  Index size(Index segment) const { return begin(segment + 1) - begin(segment); }
};

/// means [segments.count, cols]: the mean of each segment of `rows`, summed in double.
void segment_means(const Segments& segments, ConstView rows, View means, Run& run);
void segment_means(const Segments& segments, ConstView rows, MatrixView<double> means, Run& run);

/// Row s of `sums`: the rows of segment s, which all have the same length, times `weights`
/// [length], summed in double. Its multiply-adds are added to the workers' `executed`.
void segment_sums(const Segments& segments, ConstView rows, const float* weights, View sums,
                  Run& run);

}  // namespace subquad
