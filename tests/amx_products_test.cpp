#include "kernels/amx_products-inl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/amx.h"
#include "subquad/random.h"
#include "support/bf16.h"
#include "support/simple_run.h"

#if SUBQUAD_HAS_AMX

namespace subquad {
namespace {

using HWY_NAMESPACE::AmxProducts;
using HWY_NAMESPACE::Group;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class AmxProductsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!amx_refusal().empty()) GTEST_SKIP() << amx_refusal();
  }
};

/// Rows further apart than they are long, not-a-numbers between them.
struct Matrix {
  Matrix(Index rows, Index cols, std::uint64_t seed) : rows(rows), cols(cols) {
    memory.assign(static_cast<std::size_t>(rows * (cols + 3)), kNan);
    Generator random(seed);
    for (Index i = 0; i < rows; ++i) {
      for (Index c = 0; c < cols; ++c) view()(i, c) = static_cast<float>(random.normal());
      lines.push_back(view().row(i));
    }
  }
  MatrixView<float> view() { return {memory.data(), rows, cols, cols + 3}; }
  /// [rows, cols], times a factor, as bf16.
  std::vector<double> rounded(float factor) {
    std::vector<double> values;
    for (Index i = 0; i < rows; ++i) {
      for (Index c = 0; c < cols; ++c) values.push_back(to_bf16(view()(i, c) * factor));
    }
    return values;
  }

  Index rows, cols;
  std::vector<float> memory;
  std::vector<const float*> lines;
};

/// Products of one block with all of its keys seen.
struct Bench {
  Bench(Index rows, Index keys, Index dim, Index value_dim)
      : q(rows, dim, 1),
        k(keys, dim, 2),
        v(keys, value_dim, 3),
        run(scratch(rows, dim, value_dim)),
        products(run.worker().scratch, rows, dim, value_dim) {}

  static Scratch scratch(Index rows, Index dim, Index value_dim) {
    Scratch scratch;
    scratch.worker_bytes = AmxProducts::bytes(rows, dim, value_dim);
    return scratch;
  }

  std::vector<Group> groups() const {
    const Index chunks = (k.rows + AmxProducts::kLaneStep - 1) / AmxProducts::kLaneStep;
    std::vector<Group> groups;
    for (Index row = 0; row < q.rows; row += AmxProducts::kGroupRows) {
      Group group{};
      group.first = row;
      group.rows = std::min(AmxProducts::kGroupRows, q.rows - row);
      group.all = group.common = {0, k.rows};
      group.vectors = chunks * AmxProducts::kLaneStep / HWY_NAMESPACE::kLanes<float>;
      groups.push_back(group);
    }
    return groups;
  }

  Index padded_keys() const {
    return (k.rows + AmxProducts::kLaneStep - 1) / AmxProducts::kLaneStep * AmxProducts::kLaneStep;
  }

  /// Scores of the row from a list, -infinity beyond its end.
  void set_scores(const Group& group, Index row, const std::vector<float>& scores) {
    for (Index j = 0; j < padded_keys(); ++j) {
      products.scores(group, row)[j] =
          j < static_cast<Index>(scores.size()) ? scores[static_cast<std::size_t>(j)] : -kInfinity;
    }
  }

  Matrix q, k, v;
  SimpleRun run;
  AmxProducts products;
};

void expect_scores(Index rows, Index keys, Index dim) {
  Bench bench(rows, keys, dim, 5);
  const float factor = 0.37f;
  const std::vector<double> q = bench.q.rounded(factor), k = bench.k.rounded(1);
  bench.products.begin(bench.q.view(), {0, rows}, factor);
  bench.products.pack_keys(bench.k.lines.data(), keys);
  for (const Group& group : bench.groups()) {
    bench.products.score({&group, 1});
    for (Index r = 0; r < group.rows; ++r) {
      for (Index j = 0; j < keys; ++j) {
        double expected = 0, size = 0;
        for (Index c = 0; c < dim; ++c) {
          const double term = q[(group.first + r) * dim + c] * k[j * dim + c];
          expected += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(bench.products.scores(group, r)[j], expected,
                    static_cast<double>(dim) * 0x1p-24 * size)
            << "row " << group.first + r << " of " << rows << ", key " << j << " of " << keys
            << ", dim " << dim;
      }
    }
  }
}

TEST_F(AmxProductsTest, ScoresAreProductsOfRoundedOperands) {
  for (Index dim = 1; dim <= 256; dim += dim < 40 ? 1 : 23) expect_scores(33, 70, dim);
  for (const Index dim : {64, 127, 128, 256}) expect_scores(32, 128, dim);
}

TEST_F(AmxProductsTest, ScoresOfAnyNumberOfRowsAndKeys) {
  for (Index keys = 1; keys <= 128; keys += 3) expect_scores(17, keys, 24);
  for (const Index rows : {1, 2, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65})
    expect_scores(rows, 40, 24);
}

TEST_F(AmxProductsTest, WeightsArePowersRoundedToNearest) {
  Bench bench(1, 128, 1, 1);
  const Group group = bench.groups().front();
  Generator random(5);
  for (const float reference : {0.0f, -300.0f, 12345.0f}) {
    std::vector<float> scores;
    for (Index j = 0; j < 128; ++j) {
      scores.push_back(reference - static_cast<float>(120 * random.uniform()));
    }
    bench.set_scores(group, 0, scores);
    ASSERT_TRUE(bench.products.weigh(group, &reference));
    for (Index j = 0; j < 128; ++j) {
      const double exact =
          std::exp2(double{scores[static_cast<std::size_t>(j)]} - double{reference});
      EXPECT_NEAR(bench.products.weight(group, 0, j), exact, (0x1p-8 + 0x1p-13) * exact) << j;
    }
  }
}

TEST_F(AmxProductsTest, WholeExponentsAreExactAndHiddenKeysWeighNothing) {
  Bench bench(1, 64, 1, 1);
  const Group group = bench.groups().front();
  const float reference = 3;
  bench.set_scores(group, 0, {3, 2, -7, -kInfinity, -123, -1e30f, -3e38f});
  ASSERT_TRUE(bench.products.weigh(group, &reference));
  const double expected[] = {1, 0.5, 0x1p-10, 0, 0x1p-126, 0, 0, 0};
  for (Index j = 0; j < 8; ++j) EXPECT_EQ(bench.products.weight(group, 0, j), expected[j]) << j;
}

TEST_F(AmxProductsTest, WeightsThatAreTooLargeAreReported) {
  const auto weighs = [](float score, float reference) {
    bool all = true, none = true;
    for (const Index lane : {0, 15, 16, 31, 32, 127}) {
      Bench bench(32, 128, 1, 1);
      const Group group = bench.groups().front();
      const std::vector<float> references(32, reference);
      for (Index r = 0; r < 32; ++r) bench.set_scores(group, r, {});
      bench.products.scores(group, 31)[lane] = score;
      const bool weighed = bench.products.weigh(group, references.data());
      all &= weighed;
      none &= !weighed;
    }
    EXPECT_TRUE(all || none) << score;
    return all;
  };
  EXPECT_TRUE(weighs(7.9f, 7));
  EXPECT_FALSE(weighs(8, 7));
  EXPECT_FALSE(weighs(1e38f, 7));
  EXPECT_FALSE(weighs(kInfinity, 7));
  EXPECT_FALSE(weighs(kNan, 7));
  // A row without a reference: whatever it sees has to be looked at, and nothing else.
  EXPECT_FALSE(weighs(-1e30f, -kInfinity));
  EXPECT_FALSE(weighs(0, -kInfinity));
  EXPECT_TRUE(weighs(-kInfinity, -kInfinity));
}

void expect_sums(Index rows, Index keys, Index value_dim) {
  Bench bench(rows, keys, 1, value_dim);
  const std::vector<double> v = bench.v.rounded(1);
  bench.products.begin(bench.q.view(), {0, rows}, 1);
  ASSERT_TRUE(bench.products.pack_values(bench.v.lines.data(), keys, value_dim));
  Generator random(7);
  const std::vector<float> references(static_cast<std::size_t>(rows + 32), 0.0f);
  for (const Group& group : bench.groups()) {
    for (Index r = 0; r < group.rows; ++r) {
      std::vector<float> scores;
      for (Index j = 0; j < keys; ++j) scores.push_back(static_cast<float>(-9 * random.uniform()));
      bench.set_scores(group, r, scores);
    }
    ASSERT_TRUE(bench.products.weigh(group, references.data()));
    for (int time = 0; time < 2; ++time) bench.products.add_values({&group, 1});
    for (Index r = 0; r < group.rows; ++r) {
      for (Index c = 0; c <= value_dim; ++c) {
        double expected = 0, size = 0;
        for (Index j = 0; j < keys; ++j) {
          const double value = c < value_dim ? v[j * value_dim + c] : 1;
          const double term = 2 * value * bench.products.weight(group, r, j);
          expected += term;
          size += std::abs(term);
        }
        const Index row = group.first + r;
        const float got = c < value_dim ? bench.products.outputs(row)[c] : bench.products.sum(row);
        ASSERT_NEAR(got, expected, static_cast<double>(2 * keys) * 0x1p-24 * size)
            << "row " << row << " of " << rows << ", column " << c << " of " << value_dim
            << ", keys " << keys;
      }
    }
  }
}

TEST_F(AmxProductsTest, ValuesAreAddedWithTheirWeights) {
  for (Index value_dim = 1; value_dim <= 256; value_dim += value_dim < 50 ? 1 : 29) {
    expect_sums(33, 70, value_dim);
  }
  for (Index keys = 1; keys <= 128; keys += 3) expect_sums(17, keys, 20);
  for (const Index rows : {1, 15, 16, 17, 31, 32, 49, 64}) expect_sums(rows, 40, 64);
}

TEST_F(AmxProductsTest, ValuesThatAreNotFiniteAreLeftOut) {
  for (const float value : {kNan, kInfinity, -kInfinity, std::numeric_limits<float>::max()}) {
    for (const Index key : {0, 15, 16, 39}) {
      Bench bench(1, 40, 1, 20);
      bench.v.view()(key, 18) = value;
      bench.products.begin(bench.q.view(), {0, 1}, 1);
      ASSERT_FALSE(bench.products.pack_values(bench.v.lines.data(), 40, 20));
      const Group group = bench.groups().front();
      const float reference = 0;
      bench.set_scores(group, 0, std::vector<float>(40, 0.0f));
      ASSERT_TRUE(bench.products.weigh(group, &reference));
      bench.products.add_values({&group, 1});
      double expected = 0;
      for (Index j = 0; j < 40; ++j) expected += j == key ? 0 : to_bf16(bench.v.view()(j, 18));
      EXPECT_NEAR(bench.products.outputs(0)[18], expected, 1e-4);
      EXPECT_EQ(bench.products.sum(0), 40);
    }
  }
}

TEST_F(AmxProductsTest, RescalingReachesSumsToo) {
  Bench bench(2, 3, 1, 16);
  bench.products.begin(bench.q.view(), {0, 2}, 1);
  ASSERT_TRUE(bench.products.pack_values(bench.v.lines.data(), 3, 16));
  const Group group = bench.groups().front();
  const float references[] = {0, 0};
  for (Index r = 0; r < 2; ++r) bench.set_scores(group, r, {0, -1, -2});
  ASSERT_TRUE(bench.products.weigh(group, references));
  bench.products.add_values({&group, 1});
  bench.products.rescale(1, 0.25f);
  EXPECT_EQ(bench.products.sum(0), 1.75f);
  EXPECT_EQ(bench.products.sum(1), 1.75f / 4);
  for (Index c = 0; c < 16; ++c) {
    EXPECT_EQ(bench.products.outputs(1)[c], bench.products.outputs(0)[c] / 4);
  }
}

}  // namespace
}  // namespace subquad

#endif  // SUBQUAD_HAS_AMX
