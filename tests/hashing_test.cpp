#include "kernels/hashing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

/// Buckets [rounds, rows] of [rows, dim] under rotations [dim, rounds * directions].
std::vector<std::int32_t> hash(const DirectionHash& hash, const std::vector<float>& rows,
                               const std::vector<float>& rotations, Index dim) {
  const Index count = static_cast<Index>(rows.size()) / dim;
  const Index columns = hash.rounds * hash.directions();
  EXPECT_EQ(columns * dim, static_cast<Index>(rotations.size()));
  Scratch scratch;
  scratch.worker_bytes = hash.scratch_bytes(count, dim);
  SimpleRun run(scratch);
  std::vector<std::int32_t> buckets(static_cast<std::size_t>(hash.rounds * count), -1);
  hash({rows.data(), count, dim}, {rotations.data(), dim, columns}, buckets.data(), count,
       run.worker());
  EXPECT_GE(run.worker().executed.multiply_adds, static_cast<double>(count * dim * columns));
  return buckets;
}

/// One round of one hash.
std::vector<std::int32_t> hash(const std::vector<float>& rows, const std::vector<float>& rotation,
                               Index dim) {
  return hash({.first = 2 * static_cast<Index>(rotation.size()) / dim}, rows, rotation, dim);
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

TEST(Hashing, EachRoundMakesItsBucketsOfItsOwnHashes) {
  constexpr Index kDim = 5, kRows = 70;
  const std::vector<float> rows = normals(kRows * kDim, 8);
  // The last has rounds whose columns straddle those that are looked at together.
  for (const DirectionHash& shape : {DirectionHash{.rounds = 3, .first = 8, .second = 1},
                                     DirectionHash{.rounds = 4, .first = 6, .second = 10},
                                     DirectionHash{.rounds = 1, .first = 2, .second = 2},
                                     DirectionHash{.rounds = 5, .first = 180, .second = 38}}) {
    const Index columns = shape.rounds * shape.directions();
    const std::vector<float> rotations = normals(kDim * columns, 9);
    const std::vector<std::int32_t> buckets = hash(shape, rows, rotations, kDim);
    const auto one_hash = [&](Index begin, Index width) {
      std::vector<float> columns_of_it;
      for (Index h = 0; h < kDim; ++h) {
        for (Index c = 0; c < width; ++c) {
          columns_of_it.push_back(rotations[h * columns + begin + c]);
        }
      }
      return hash(rows, columns_of_it, kDim);
    };
    for (Index r = 0; r < shape.rounds; ++r) {
      const Index begin = r * shape.directions();
      const auto first = one_hash(begin, shape.first / 2);
      const auto second = shape.second > 1 ? one_hash(begin + shape.first / 2, shape.second / 2)
                                           : std::vector<std::int32_t>(kRows);
      for (Index i = 0; i < kRows; ++i) {
        EXPECT_EQ(buckets[r * kRows + i], first[i] * shape.second + second[i]);
      }
    }
  }
}

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

TEST(Hashing, FirstOfEqualDirectionsWins) {
  // Columns 1 and 3 are the same, columns 0 and 2 shorter; so in the mirror image.
  const std::vector<float> rotation = {1, 2, 1, 2};
  EXPECT_EQ(hash({1, -1}, rotation, 1), (std::vector<std::int32_t>{1, 5}));
}

TEST(Hashing, ANanAmongProjectionsIsNeverTheLargest) {
  // Infinity times 0 is NaN in column 0.
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(hash({infinity}, {0, -1, 2}, 1), (std::vector<std::int32_t>{4}));
}

TEST(Hashing, InverseLengthsScaleRowsToOne) {
  std::vector<float> rows = normals(12 * 19, 10);
  std::fill_n(rows.begin(), 19, 0.0f);
  // Squares of these would not be floats.
  for (int c = 0; c < 19; ++c) rows[19 + c] *= 1e25f, rows[38 + c] *= 1e-25f;
  std::vector<float> factors(12);
  inverse_lengths({rows.data(), 12, 19}, factors);
  EXPECT_EQ(factors[0], 0);
  for (Index i = 1; i < 12; ++i) {
    double squares = 0;
    for (Index c = 0; c < 19; ++c) squares += double{rows[i * 19 + c]} * rows[i * 19 + c];
    EXPECT_NEAR(factors[i] * std::sqrt(squares), 1, 1e-7);
  }
}

TEST(Hashing, SortsByBucketThenPosition) {
  Generator random(7);
  std::vector<std::int32_t> buckets, order(500), ends(13);
  for (int i = 0; i < 500; ++i) buckets.push_back(static_cast<std::int32_t>(random.below(13)));
  sort_by_bucket(buckets, order, ends);
  std::vector<bool> seen(500);
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_FALSE(seen[order[i]]);
    seen[order[i]] = true;
    EXPECT_LT(static_cast<std::int32_t>(i), ends[buckets[order[i]]]);
    if (i == 0) continue;
    EXPECT_LT(std::pair(buckets[order[i - 1]], order[i - 1]),
              std::pair(buckets[order[i]], order[i]));
  }
}

}  // namespace
}  // namespace subquad
