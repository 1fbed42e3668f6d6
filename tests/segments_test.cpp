#include "kernels/segments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

TEST(Segments, CoverAllRowsOnce) {
  for (const Index rows : {1, 2, 17, 64, 1000}) {
    for (Index count = 1; count <= rows; count += 1 + count / 3) {
      const Segments equal = Segments::equal(rows, count);
      EXPECT_EQ(equal.begin(0), 0);
      EXPECT_EQ(equal.begin(count), rows);
      for (Index s = 0; s < count; ++s) {
        EXPECT_GE(equal.size(s), rows / count);
        EXPECT_LE(equal.size(s), (rows + count - 1) / count);
      }
      const Segments cut = Segments::of_length(rows, count);
      EXPECT_EQ(cut.begin(cut.count), rows);
      for (Index s = 0; s + 1 < cut.count; ++s) EXPECT_EQ(cut.size(s), count);
      EXPECT_GE(cut.size(cut.count - 1), 1);
    }
  }
}

TEST(Segments, StretchesAreLongAndFew) {
  for (const Index rows : {1, 1024, 1025, 16384, 16385, 1000000}) {
    const Segments stretches = Segments::stretches(rows);
    EXPECT_LE(stretches.count, Segments::kMostStretches);
    EXPECT_EQ(stretches.begin(stretches.count), rows);
    if (stretches.count > 1) {
      EXPECT_GE(stretches.size(0), 1024);
    }
  }
}

TEST(Segments, MeansAndSumsOfStridedRows) {
  // Rows with a gap between them, more columns than are summed at a time.
  constexpr Index kRows = 1500, kCols = 70;
  std::vector<float> memory(kRows * (kCols + 5));
  Generator(3).normals(memory);
  const ConstView rows(memory.data(), kRows, kCols, kCols + 5);
  SimpleRun run(Scratch{});
  for (const Index length : {1, 3, 500, 1500}) {
    const Segments segments = Segments::of_length(kRows, length);
    std::vector<float> means(segments.count * kCols), sums(means.size()), weights(length);
    std::vector<double> exact(means.size());
    Generator(4).normals(weights);
    segment_means(segments, rows, View(means.data(), segments.count, kCols), run);
    segment_means(segments, rows, MatrixView<double>(exact.data(), segments.count, kCols), run);
    segment_sums(segments, rows, weights.data(), View(sums.data(), segments.count, kCols), run);
    for (Index s = 0; s < segments.count; ++s) {
      for (Index c = 0; c < kCols; ++c) {
        double mean = 0, sum = 0, size = 0;
        for (Index t = 0; t < length; ++t) {
          mean += double{rows(s * length + t, c)} / static_cast<double>(length);
          sum += double{weights[t]} * rows(s * length + t, c);
          size += std::abs(double{weights[t]} * rows(s * length + t, c));
        }
        // Rounded once to float; in double, a rounding for each of up to 1500 rows of up to 5.
        EXPECT_NEAR(means[s * kCols + c], mean, 5 * 0x1p-24);
        EXPECT_NEAR(exact[s * kCols + c], mean, 5 * 1500 * 0x1p-53);
        EXPECT_NEAR(sums[s * kCols + c], sum, (size + 1) * 0x1p-24);
      }
    }
  }
  // Four sums of all rows: each element takes part once.
  EXPECT_EQ(run.executed().multiply_adds, 4.0 * kRows * kCols);
}

}  // namespace
}  // namespace subquad
