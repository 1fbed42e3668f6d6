// The streaming softmax with operands in bf16, on tiles and in floats, against exact softmax of the
// floats that were given, within the bound that kernels/amx_products-inl.h derives.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/streaming_softmax.h"
#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kBound = 8 * 0x1p-8;

struct Matrix {
  Matrix(Index rows, Index cols, std::uint64_t seed, double spread)
      : memory(static_cast<std::size_t>(rows * (cols + 1)), kNan),
        view(memory.data(), rows, cols, cols + 1) {
    Generator random(seed);
    for (Index i = 0; i < rows; ++i) {
      for (Index c = 0; c < cols; ++c) view(i, c) = static_cast<float>(spread * random.normal());
    }
  }
  std::vector<float> memory;
  View view;
};

struct Head {
  Head(Index queries, Index keys, Index dim, Index value_dim, double spread = 1)
      : q(queries, dim, 1, spread),
        k(keys, dim, 2, spread),
        v(keys, value_dim, 3, 1),
        out(queries, value_dim, 4, 0),
        log_sum_exp(static_cast<std::size_t>(queries), kNan),
        operands{.q = q.view,
                 .k = k.view,
                 .v = v.view,
                 .out = out.view,
                 .row_log_sum_exp = log_sum_exp.data(),
                 .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)))} {
    std::fill(out.memory.begin(), out.memory.end(), kNan);
  }

  using Fill = std::function<void(KeyPlan&)>;

  /// Returns what was executed.
  Work attend(Rows queries, const Fill& fill, const ScoreEdit* edit = nullptr) const {
    const Index most = softmax_tile_rows(q.view.cols, v.view.cols, operands.precision);
    Scratch scratch;
    scratch.worker_bytes = softmax_scratch_bytes(std::min(most, queries.count), q.view.cols,
                                                 v.view.cols, operands.precision);
    if (packed) {
      declare_packed_keys(k.view.rows, q.view.cols, v.view.cols, operands.precision, scratch);
    }
    SimpleRun run(scratch);
    SoftmaxOperands given = operands;
    if (packed) pack_keys(given, run);
    std::vector<KeySpan> spans(8);
    std::vector<std::int32_t> singles(static_cast<std::size_t>(k.view.rows));
    KeyPlan plan(k.view.rows, spans, singles);
    fill(plan);
    for (Index begin = 0; begin < queries.count; begin += most) {
      const Rows tile{queries[begin], std::min(most, queries.count - begin), queries.step};
      streaming_softmax(given, tile, plan, edit, run.worker());
    }
    return run.executed();
  }

  using Sees = std::function<bool(Index query, Index key)>;
  using Bias = std::function<double(Index query, Index key)>;

  /// Holds the rows against exact softmax over the keys that they see.
  void expect_exact(Rows queries, const Sees& sees, const Bias& bias = {}) const {
    double largest_value = 0, largest_score = 1, worst = 0, worst_sum = 0;
    for (Index r = 0; r < queries.count; ++r) {
      const Index i = queries[r];
      std::vector<double> score(static_cast<std::size_t>(k.view.rows), -kInfinity);
      double largest = -kInfinity;
      for (Index j = 0; j < k.view.rows; ++j) {
        if (!sees(i, j)) continue;
        double dot = 0;
        for (Index c = 0; c < q.view.cols; ++c) dot += double{q.view(i, c)} * k.view(j, c);
        largest_score = std::max(largest_score, std::abs(double{operands.scale} * dot));
        score[j] = double{operands.scale} * dot + (bias ? bias(i, j) : 0);
        largest = std::max(largest, score[j]);
      }
      double sum = 0;
      std::vector<double> expected(static_cast<std::size_t>(v.view.cols), 0.0);
      for (Index j = 0; j < k.view.rows; ++j) {
        if (score[j] == -kInfinity) continue;
        const double weight = std::exp(score[j] - largest);
        sum += weight;
        for (Index c = 0; c < v.view.cols; ++c) {
          expected[c] += weight * v.view(j, c);
          largest_value = std::max(largest_value, std::abs(double{v.view(j, c)}));
        }
      }
      for (Index c = 0; c < v.view.cols; ++c) {
        const double exact = sum == 0 ? 0 : expected[c] / sum;
        ASSERT_TRUE(std::isfinite(out.view(i, c))) << "row " << i << ", column " << c;
        ASSERT_TRUE(sum != 0 || out.view(i, c) == 0) << "row " << i;
        worst = std::max(worst, std::abs(out.view(i, c) - exact));
      }
      if (sum == 0) {
        ASSERT_EQ(log_sum_exp[i], -std::numeric_limits<float>::infinity()) << "row " << i;
      } else {
        worst_sum = std::max(worst_sum, std::abs(log_sum_exp[i] - largest - std::log(sum)));
      }
    }
    EXPECT_LE(worst, kBound * largest_score * largest_value);
    EXPECT_LE(worst_sum, kBound * largest_score);
  }

  /// Every query sees every key, or those before it.
  void expect_dense(bool causal) {
    operands.causal = causal;
    const Rows queries{0, q.view.rows};
    attend(queries, [this](KeyPlan& plan) { plan.all(0, k.view.rows); });
    expect_exact(queries,
                 [&](Index i, Index j) { return !causal || j <= operands.first_query + i; });
  }

  Matrix q, k, v, out;
  mutable std::vector<float> log_sum_exp;
  SoftmaxOperands operands;
  bool packed = false;
};

struct Way {
  const char* name;
  Precision precision;
  bool packed;  ///< keys once, beforehand
};

class Bf16Softmax : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string reason = refuses(GetParam().precision);
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
  Head head(Index queries, Index keys, Index dim, Index value_dim, double spread = 1) const {
    Head head(queries, keys, dim, value_dim, spread);
    head.operands.precision = GetParam().precision;
    head.packed = GetParam().packed;
    return head;
  }
};

INSTANTIATE_TEST_SUITE_P(, Bf16Softmax,
                         testing::Values(Way{"tiles", Precision::bf16, false},
                                         Way{"tiles_packed", Precision::bf16, true},
                                         Way{"floats", Precision::bf16_plain, false},
                                         Way{"floats_packed", Precision::bf16_plain, true}),
                         [](const auto& info) { return info.param.name; });

TEST_P(Bf16Softmax, AllWidths) {
  for (Index dim = 1; dim <= 256; dim += dim < 36 ? 5 : 44) {
    SCOPED_TRACE(dim);
    head(37, 50, dim, 7).expect_dense(false);
    head(37, 50, 7, dim).expect_dense(true);
  }
  head(5, 150, 256, 256).expect_dense(false);
}

TEST_P(Bf16Softmax, AllLengths) {
  for (const Index keys :
       {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 200, 300}) {
    for (const Index queries : {1, 16, 17, 33, 100}) {
      SCOPED_TRACE(testing::Message() << queries << " queries, " << keys << " keys");
      head(queries, keys, 24, 20).expect_dense(false);
      head(queries, keys, 24, 20).expect_dense(true);
    }
  }
}

TEST_P(Bf16Softmax, MoreRowsThanATile) { head(600, 200, 16, 16).expect_dense(true); }

TEST_P(Bf16Softmax, LateAndEarlyQueries) {
  for (const Index first : {-40, -1, 3, 90, 500}) {
    Head one = head(70, 150, 16, 16);
    one.operands.first_query = first;
    one.expect_dense(true);
  }
}

TEST_P(Bf16Softmax, SharpScores) {
  for (const double spread : {4.0, 30.0}) head(40, 300, 64, 16, spread).expect_dense(true);
  Head extreme = head(40, 300, 8, 16, 300);
  extreme.expect_dense(false);
}

/// Scores that grow from block to block and from key to key, by more than the slack of references.
TEST_P(Bf16Softmax, RisingAndFallingScores) {
  for (const double step : {0.3, 3.0, -0.3, -3.0}) {
    Head one = head(50, 400, 4, 16);
    one.operands.scale = 1;
    for (Index i = 0; i < 50; ++i) {
      for (Index c = 0; c < 4; ++c) one.q.view(i, c) = c == 0 ? 1 + static_cast<float>(i) / 8 : 0;
    }
    // Numbers that bf16 holds, so that the tolerance is that of weights and values alone.
    for (Index j = 0; j < 400; ++j) one.k.view(j, 0) = static_cast<float>(step * double(j / 8));
    one.expect_dense(false);
  }
}

TEST_P(Bf16Softmax, BandsAndSteps) {
  for (const Index step : {1, 3}) {
    for (const Index reach : {0, 5, 40, 64, 200}) {
      SCOPED_TRACE(testing::Message() << "step " << step << ", reach " << reach);
      Head one = head(150, 450, 20, 20);
      one.operands.first_query = 100;
      const Rows queries{0, 50, step};
      const Index low = 100 - reach * step, high = 100 + queries.last() + reach * step + 1;
      one.attend(queries,
                 [&](KeyPlan& plan) { plan.band(low, high, step, reach * step, reach * step); });
      one.expect_exact(queries, [&](Index i, Index j) {
        const Index distance = std::abs(j - i - 100);
        return distance <= reach * step && (j - low) % step == 0;
      });
    }
  }
}

TEST_P(Bf16Softmax, SingleKeys) {
  Head one = head(90, 400, 20, 20);
  one.operands.causal = true;
  std::vector<std::int32_t> keys;
  for (std::int32_t j = 1; j < 400; j += 1 + j % 3) keys.push_back(j);
  one.attend({0, 90}, [&](KeyPlan& plan) { plan.single(keys); });
  one.expect_exact({0, 90}, [&](Index i, Index j) {
    return j <= i && std::find(keys.begin(), keys.end(), j) != keys.end();
  });
}

/// Hides some pairs, and biases others.
class Edit final : public ScoreEdit {
 public:
  static bool hides(Index query, Index key) { return (query * 7 + key) % 5 == 0 || query == 3; }
  static double bias(Index query, Index key) { return 0.25 * double((query + 3 * key) % 9); }
  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    for (std::size_t j = 0; j < keys.size(); ++j) {
      scores[j] = hides(query, keys[j]) ? -std::numeric_limits<float>::infinity()
                                        : scores[j] + static_cast<float>(bias(query, keys[j]));
    }
  }
};

TEST_P(Bf16Softmax, EditedScores) {
  for (const bool causal : {false, true}) {
    Head one = head(70, 210, 20, 20);
    one.operands.causal = causal;
    const Edit edit;
    one.attend(
        {0, 70}, [](KeyPlan& plan) { plan.asked(0, 210); }, &edit);
    one.expect_exact(
        {0, 70}, [&](Index i, Index j) { return (!causal || j <= i) && !Edit::hides(i, j); },
        Edit::bias);
  }
}

TEST_P(Bf16Softmax, HiddenKeysReachNobodyWhateverTheyHold) {
  for (const float bad : {kNan, static_cast<float>(kInfinity), 1e30f}) {
    Head clean = head(70, 150, 20, 20), dirty = head(70, 150, 20, 20);
    for (Index j = 61; j < 150; ++j) {
      for (Index c = 0; c < 20; ++c) dirty.k.view(j, c) = dirty.v.view(j, c) = bad;
    }
    for (Head* one : {&clean, &dirty}) {
      one->operands.causal = true;
      one->attend({0, 70}, [](KeyPlan& plan) { plan.all(0, 150); });
    }
    for (Index i = 0; i <= 60; ++i) {
      EXPECT_EQ(dirty.log_sum_exp[i], clean.log_sum_exp[i]);
      for (Index c = 0; c < 20; ++c) EXPECT_EQ(dirty.out.view(i, c), clean.out.view(i, c));
    }
  }
}

TEST_P(Bf16Softmax, SeenValuesThatAreNotFiniteReachThoseWhoSeeThem) {
  Head one = head(70, 150, 20, 20);
  one.v.view(30, 4) = static_cast<float>(kInfinity);
  one.v.view(140, 5) = kNan;
  one.operands.causal = true;
  one.operands.first_query = 80;
  one.attend({0, 70}, [](KeyPlan& plan) { plan.all(0, 150); });
  for (Index i = 0; i < 70; ++i) {
    EXPECT_EQ(one.out.view(i, 4), static_cast<float>(kInfinity));
    EXPECT_EQ(std::isnan(one.out.view(i, 5)), i >= 60) << i;
    EXPECT_TRUE(std::isfinite(one.out.view(i, 3)));
  }
}

TEST_P(Bf16Softmax, ARowDoesNotDependOnItsNeighbours) {
  Head one = head(64, 400, 16, 16, 3), other = head(64, 400, 16, 16, 3);
  for (Index i = 1; i < 64; i += 2) {
    for (Index c = 0; c < 16; ++c) other.q.view(i, c) *= 20;
  }
  for (Head* each : {&one, &other}) {
    each->attend({0, 64}, [](KeyPlan& plan) { plan.all(0, 400); });
  }
  for (Index i = 0; i < 64; i += 2) {
    EXPECT_EQ(one.log_sum_exp[i], other.log_sum_exp[i]) << i;
    for (Index c = 0; c < 16; ++c) EXPECT_EQ(one.out.view(i, c), other.out.view(i, c)) << i;
  }
}

TEST_P(Bf16Softmax, OfEqualValuesNothingIsLost) {
  // Weights add up to what they are divided by, though each of them is rounded.
  Head one = head(40, 333, 16, 16);
  for (Index j = 0; j < 333; ++j) {
    for (Index c = 0; c < 16; ++c) one.v.view(j, c) = 1.5f;
  }
  one.attend({0, 40}, [](KeyPlan& plan) { plan.all(0, 333); });
  for (Index i = 0; i < 40; ++i) {
    for (Index c = 0; c < 16; ++c) EXPECT_NEAR(one.out.view(i, c), 1.5, 1e-5);
  }
}

TEST_P(Bf16Softmax, WorkCountsAtLeastWhatIsSeen) {
  const Head one = head(100, 300, 24, 20);
  const Work work = one.attend({0, 100}, [](KeyPlan& plan) { plan.all(0, 300); });
  EXPECT_GE(work.multiply_adds, 100 * 300 * 44);
  EXPECT_GE(work.exponentials, 100 * 300);
  EXPECT_LE(work.exponentials, 100 * 320);
  const bool on_tiles = GetParam().precision == Precision::bf16;
  EXPECT_EQ(work.bf16_multiply_adds, on_tiles ? work.multiply_adds : 0);
}

/// Both round the same operands; weights may differ by a unit of their own rounding.
TEST(Bf16, TilesAndFloatsAgree) {
  if (const std::string reason = refuses(Precision::bf16); !reason.empty()) GTEST_SKIP() << reason;
  for (const Index dim : {5, 64, 100}) {
    Head tiles(90, 500, dim, 40), floats(90, 500, dim, 40);
    tiles.operands.precision = Precision::bf16;
    floats.operands.precision = Precision::bf16_plain;
    for (Head* one : {&tiles, &floats}) {
      one->attend({0, 90}, [](KeyPlan& plan) { plan.all(0, 500); });
    }
    for (Index i = 0; i < 90; ++i) {
      EXPECT_NEAR(tiles.log_sum_exp[i], floats.log_sum_exp[i], 1e-3);
      for (Index c = 0; c < 40; ++c) {
        EXPECT_NEAR(tiles.out.view(i, c), floats.out.view(i, c), 2e-3);
      }
    }
  }
}

}  // namespace
}  // namespace subquad
