#include "kernels/hashing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

std::vector<float> normals(Index count, std::uint64_t seed) {
  Generator random(seed);
  std::vector<float> result;
  for (Index i = 0; i < count; ++i) result.push_back(static_cast<float>(random.normal()));
  return result;
}

std::vector<std::int32_t> hash(const std::vector<float>& rows, const std::vector<float>& rotation,
                               Index dim) {
  const Index count = static_cast<Index>(rows.size()) / dim;
  const Index columns = static_cast<Index>(rotation.size()) / dim;
  Scratch scratch;
  scratch.worker_bytes = hash_scratch_bytes(count, dim, columns);
  SimpleRun run(scratch);
  std::vector<std::int32_t> buckets(static_cast<std::size_t>(count), -1);
  hash_rows({rows.data(), count, dim}, {rotation.data(), dim, columns}, buckets, run.worker());
  EXPECT_GE(run.worker().executed.multiply_adds, static_cast<double>(count * dim * columns));
  return buckets;
}

class HashShapes : public testing::TestWithParam<std::pair<Index, Index>> {};

TEST_P(HashShapes, IsTheArgmaxOfProjectionsAndTheirOpposites) {
  const auto [dim, columns] = GetParam();
  const std::vector<float> rows = normals(90 * dim, 1), rotation = normals(dim * columns, 2);
  const std::vector<std::int32_t> buckets = hash(rows, rotation, dim);
  for (Index i = 0; i < 90; ++i) {
    std::vector<double> projections(static_cast<std::size_t>(2 * columns));
    for (Index c = 0; c < columns; ++c) {
      for (Index h = 0; h < dim; ++h) {
        projections[c] += double{rows[i * dim + h]} * rotation[h * columns + c];
      }
      projections[c + columns] = -projections[c];
    }
    const double largest = *std::max_element(projections.begin(), projections.end());
    // Float may choose another bucket only if the two are equal to within rounding.
    EXPECT_GT(projections[buckets[i]], largest - 1e-5 * std::sqrt(static_cast<double>(dim)));
  }
}

INSTANTIATE_TEST_SUITE_P(Hashing, HashShapes,
                         testing::Values(std::pair{1, 1}, std::pair{3, 1}, std::pair{8, 16},
                                         std::pair{15, 255}, std::pair{16, 256},
                                         std::pair{17, 600}));

TEST(Hashing, IgnoresLengthAndMirrorsDirection) {
  std::vector<float> rows = normals(50 * 6, 3);
  const std::vector<float> rotation = normals(6 * 5, 4);
  const std::vector<std::int32_t> buckets = hash(rows, rotation, 6);
  for (float& value : rows) value *= -3;
  const std::vector<std::int32_t> mirrored = hash(rows, rotation, 6);
  for (std::size_t i = 0; i < buckets.size(); ++i) EXPECT_EQ(mirrored[i], (buckets[i] + 5) % 10);
}

// Two unit vectors at distance r collide under one plane (two buckets) with probability
// 1 - angle / pi.
TEST(Hashing, TwoBucketsCollideWithTheAngle) {
  const std::vector<float> rows = {1, 0, std::cos(1.0f), std::sin(1.0f)};
  constexpr int kDraws = 20000;
  int collisions = 0;
  const std::vector<float> rotations = normals(2 * kDraws, 5);
  for (int draw = 0; draw < kDraws; ++draw) {
    const std::vector<std::int32_t> buckets =
        hash(rows, {rotations[2 * draw], rotations[2 * draw + 1]}, 2);
    collisions += buckets[0] == buckets[1];
  }
  const double expected = 1 - 1 / 3.14159265358979;
  EXPECT_NEAR(collisions / double{kDraws}, expected,
              5 * std::sqrt(expected * (1 - expected) / kDraws));
}

TEST(Hashing, RowsOfZerosAndNansGetBucketZero) {
  const std::vector<float> rows = {0, 0, NAN, NAN};
  EXPECT_EQ(hash(rows, normals(2 * 7, 6), 2), (std::vector<std::int32_t>{0, 0}));
}

TEST(Hashing, SortsByBucketThenPosition) {
  Generator random(7);
  std::vector<std::int32_t> buckets, order(500), starts(14);
  for (int i = 0; i < 500; ++i) buckets.push_back(static_cast<std::int32_t>(random.below(13)));
  sort_by_bucket(buckets, order, starts);
  std::vector<bool> seen(500);
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_FALSE(seen[order[i]]);
    seen[order[i]] = true;
    if (i == 0) continue;
    EXPECT_LT(std::pair(buckets[order[i - 1]], order[i - 1]),
              std::pair(buckets[order[i]], order[i]));
  }
}

}  // namespace
}  // namespace subquad
