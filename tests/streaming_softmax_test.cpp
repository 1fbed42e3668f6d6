#include "kernels/streaming_softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <vector>

#include "kernels/direct_products-inl.h"
#include "kernels/streaming_softmax-inl.h"
#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Operands on views whose rows lie further apart than they are long, and their naive softmax.
template <class T>
struct Head {
  Head(Index queries, Index keys, Index dim, Index value_dim, double spread = 1)
      : q(matrix(queries, dim, 1, spread, q_memory)),
        k(matrix(keys, dim, 2, spread, k_memory)),
        v(matrix(keys, value_dim, 3, 1, v_memory)),
        out(matrix(queries, value_dim, 4, 1, out_memory)),
        log_sum_exp(static_cast<std::size_t>(queries), T{7}),
        scale(1 / std::sqrt(static_cast<double>(dim))) {
    std::fill(out_memory.begin(), out_memory.end(), std::numeric_limits<T>::quiet_NaN());
  }

  static MatrixView<T> matrix(Index rows, Index cols, std::uint64_t seed, double spread,
                              std::vector<T>& memory) {
    const Index stride = cols + 3;
    memory.assign(static_cast<std::size_t>(rows * stride), std::numeric_limits<T>::quiet_NaN());
    Generator random(seed);
    const MatrixView<T> view(memory.data(), rows, cols, stride);
    for (Index i = 0; i < rows; ++i) {
      for (Index c = 0; c < cols; ++c) view(i, c) = static_cast<T>(spread * random.normal());
    }
    return view;
  }

  using Sees = std::function<bool(Index query, Index key)>;
  using Bias = std::function<double(Index query, Index key)>;

  struct Errors {
    double out = 0;          ///< largest, relative to the largest |value|
    double log_sum_exp = 0;  ///< largest
    double score = 0;        ///< largest |score| met
  };

  /// Against the naive softmax in double, query by query.
  Errors errors(Rows queries, const Sees& sees, const Bias& bias = {}) const {
    Errors errors;
    for (Index row = 0; row < queries.count; ++row) {
      const Index i = queries[row];
      std::vector<double> score(static_cast<std::size_t>(k.rows), -kInfinity);
      double largest = -kInfinity;
      for (Index j = 0; j < k.rows; ++j) {
        if (!sees(i, j)) continue;
        double dot = 0;
        for (Index c = 0; c < q.cols; ++c) dot += static_cast<double>(q(i, c)) * k(j, c);
        score[j] = scale * dot + (bias ? bias(i, j) : 0);
        largest = std::max(largest, score[j]);
        errors.score = std::max(errors.score, std::abs(score[j]));
      }
      double sum = 0;
      std::vector<double> expected(static_cast<std::size_t>(v.cols), 0.0);
      for (Index j = 0; j < k.rows; ++j) {
        if (score[j] == -kInfinity) continue;
        const double weight = std::exp(score[j] - largest);
        sum += weight;
        for (Index c = 0; c < v.cols; ++c) expected[c] += weight * v(j, c);
      }
      if (sum == 0) {
        EXPECT_EQ(log_sum_exp[i], -std::numeric_limits<T>::infinity()) << "row " << i;
        for (Index c = 0; c < v.cols; ++c) EXPECT_EQ(out(i, c), 0) << "row " << i;
        continue;
      }
      for (Index c = 0; c < v.cols; ++c) {
        const double error = std::abs(out(i, c) - expected[c] / sum);
        errors.out = std::isnan(error) ? kInfinity : std::max(errors.out, error / 4);
      }
      const double error = std::abs(log_sum_exp[i] - (largest + std::log(sum)));
      errors.log_sum_exp = std::isnan(error) ? kInfinity : std::max(errors.log_sum_exp, error);
    }
    return errors;
  }

  std::vector<T> q_memory, k_memory, v_memory, out_memory;
  MatrixView<T> q, k, v, out;
  std::vector<T> log_sum_exp;
  double scale;
  bool causal = false;
  Index first_query = 0;
};

/// The tolerance that streaming_softmax.h states.
double tolerance(Index dim, double largest_score) {
  return (8 + static_cast<double>(dim) / 32) * std::numeric_limits<float>::epsilon() *
         std::max(1.0, largest_score);
}

using Plan = std::function<void(Rows queries, KeyPlan& plan)>;

/// Runs the kernel over `queries`, tile by tile, with exactly the scratch that it asks for; with
/// keys packed by each tile, or once for all.
Work attend(Head<float>& head, Rows queries, const Plan& plan, const ScoreEdit* edit = nullptr,
            bool packed = false) {
  SoftmaxOperands operands{.q = head.q,
                           .k = head.k,
                           .v = head.v,
                           .out = head.out,
                           .row_log_sum_exp = head.log_sum_exp.data(),
                           .scale = static_cast<float>(head.scale),
                           .causal = head.causal,
                           .first_query = head.first_query};
  const Index rows = softmax_tile_rows(head.q.cols, head.v.cols);
  Scratch scratch;
  scratch.worker_bytes =
      softmax_scratch_bytes(std::min(rows, queries.count), head.q.cols, head.v.cols);
  if (packed) declare_packed_keys(head.k.rows, head.k.cols, head.v.cols, Precision::f32, scratch);
  SimpleRun run(scratch);
  if (packed) pack_keys(operands, run);
  for (Index begin = 0; begin < queries.count; begin += rows) {
    std::vector<KeySpan> spans(16);
    std::vector<std::int32_t> singles(static_cast<std::size_t>(head.k.rows));
    KeyPlan keys(head.k.rows, spans, singles);
    const Rows tile{queries[begin], std::min(rows, queries.count - begin), queries.step};
    plan(tile, keys);
    streaming_softmax(operands, tile, keys, edit, run.worker());
  }
  return run.executed();
}

void expect_close(const Head<float>& head, Rows queries, const Head<float>::Sees& sees,
                  const Head<float>::Bias& bias = {}) {
  const auto errors = head.errors(queries, sees, bias);
  const double allowed = tolerance(head.q.cols, errors.score);
  EXPECT_LE(errors.out, allowed);
  EXPECT_LE(errors.log_sum_exp, allowed);
}

/// Both ways of packing.
void expect_attends(Head<float>& head, Rows queries, const Plan& plan,
                    const Head<float>::Sees& sees, const ScoreEdit* edit = nullptr,
                    const Head<float>::Bias& bias = {}) {
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(packed ? "packed once" : "packed by tile");
    std::fill(head.out_memory.begin(), head.out_memory.end(),
              std::numeric_limits<float>::quiet_NaN());
    attend(head, queries, plan, edit, packed);
    expect_close(head, queries, sees, bias);
  }
}

const auto kEverything = [](Index, Index) { return true; };

void everything(Rows, KeyPlan& plan) { plan.all(0, plan.keys()); }

TEST(StreamingSoftmax, AgreesWithDoubleAtEveryWidth) {
  for (Index dim = 1; dim <= 80; ++dim) {
    SCOPED_TRACE(dim);
    Head<float> head(23, 131, dim, 81 - dim);
    expect_attends(head, {0, 23}, everything, kEverything);
  }
  for (const Index dim : {128, 256, 1000}) {
    SCOPED_TRACE(dim);
    Head<float> head(70, 150, dim, dim + 1);
    expect_attends(head, {0, 70}, everything, kEverything);
  }
}

TEST(StreamingSoftmax, AgreesWithDoubleAtEveryLength) {
  for (Index n = 1; n <= 140; n += n < 20 ? 1 : 7) {
    SCOPED_TRACE(n);
    for (const Index queries : {Index{1}, n}) {
      Head<float> head(queries, n, 20, 12);
      expect_attends(head, {0, queries}, everything, kEverything);
    }
  }
}

TEST(StreamingSoftmax, CausalFromAnyFirstQuery) {
  for (const Index first : {0, 1, 50, 64, 190, -30}) {
    SCOPED_TRACE(first);
    Head<float> head(210, 230, 16, 16);
    head.causal = true;
    head.first_query = first;
    expect_attends(head, {0, 210}, everything, [&](Index i, Index j) { return j <= first + i; });
  }
}

TEST(StreamingSoftmax, BandsWithAndWithoutStrides) {
  for (const bool causal : {false, true}) {
    for (const Index step : {1, 2, 7}) {
      for (const Index radius : {0, 1, 5, 40, 500}) {
        SCOPED_TRACE(testing::Message() << causal << ' ' << step << ' ' << radius);
        Head<float> head(301, 301, 24, 24);
        head.causal = causal;
        const Index reach = radius * step;
        for (Index residue = 0; residue < step; ++residue) {
          const Rows queries{residue, (301 - residue + step - 1) / step, step};
          expect_attends(
              head, queries,
              [&](Rows tile, KeyPlan& plan) {
                plan.band(tile.begin - reach, tile.last() + reach + 1, step, reach, reach);
              },
              [&](Index i, Index j) {
                return std::abs(i - j) <= reach && (i - j) % step == 0 && (!causal || j <= i);
              });
        }
      }
    }
  }
}

TEST(StreamingSoftmax, UnequalBandsThatLeaveRowsWithoutKeys) {
  Head<float> head(200, 300, 9, 33);
  const auto plan = [](Rows, KeyPlan& plan) {
    plan.band(100, 150, 1, 3, 9);
    plan.band(170, 290, 3, -5, 20);
  };
  expect_attends(head, {0, 200}, plan, [](Index i, Index j) {
    return (j >= 100 && j < 150 && j - i >= -3 && j - i <= 9) ||
           (j >= 170 && j < 290 && (j - 170) % 3 == 0 && j - i >= 5 && j - i <= 20);
  });
}

TEST(StreamingSoftmax, SingleKeysBesideSpans) {
  for (const bool causal : {false, true}) {
    Head<float> head(190, 400, 31, 17);
    head.causal = causal;
    head.first_query = 100;
    std::vector<std::int32_t> singles;
    for (std::int32_t j = 60; j < 400; j += 3) singles.push_back(j);
    const auto plan = [&](Rows, KeyPlan& plan) {
      plan.all(0, 20);
      plan.all(21, 60, 2);
      plan.single(singles);
    };
    expect_attends(head, {0, 190}, plan, [&](Index i, Index j) {
      if (causal && j > 100 + i) return false;
      return j < 20 || (j < 60 && j % 2 == 1 && j >= 21) || (j >= 60 && j % 3 == 0);
    });
  }
}

/// Drops pairs by a rule and adds to the others.
class RuleAndBias final : public ScoreEdit {
 public:
  explicit RuleAndBias(bool all) : all_(all) {}
  static bool keeps(Index i, Index j) { return (i * 7 + j * 3) % 5 != 0 && i != 11; }
  static double bias(Index i, Index j) { return 0.1 * static_cast<double>((i + j) % 9); }

  bool edits(Seen seen) const override { return all_ || seen == Seen::asked; }
  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    for (std::size_t j = 0; j < keys.size(); ++j) {
      scores[j] = keeps(query, keys[j]) ? scores[j] + static_cast<float>(bias(query, keys[j]))
                                        : -std::numeric_limits<float>::infinity();
    }
  }

 private:
  bool all_;
};

TEST(StreamingSoftmax, EditsEveryPairOrOnlyThoseAskedAbout) {
  for (const bool all : {false, true}) {
    const RuleAndBias edit(all);
    Head<float> head(70, 260, 20, 20);
    head.causal = true;
    head.first_query = 180;
    const auto plan = [](Rows, KeyPlan& plan) {
      plan.all(0, 77);
      plan.asked(100, 260);
      plan.single(std::vector<std::int32_t>{80, 81, 95});
    };
    const auto edited = [&](Index j) { return all || j >= 100; };
    expect_attends(
        head, {0, 70}, plan,
        [&](Index i, Index j) {
          const bool planned = j < 77 || j >= 100 || j == 80 || j == 81 || j == 95;
          return planned && j <= 180 + i && (!edited(j) || RuleAndBias::keeps(i, j));
        },
        &edit, [&](Index i, Index j) { return edited(j) ? RuleAndBias::bias(i, j) : 0; });
  }
}

TEST(StreamingSoftmax, NothingSeenIsZeroAndMinusInfinity) {
  Head<float> head(10, 20, 4, 5);
  attend(head, {0, 10}, [](Rows, KeyPlan&) {});
  expect_close(head, {0, 10}, [](Index, Index) { return false; });
}

TEST(StreamingSoftmax, KeysThatAreNotSeenMayHoldAnything) {
  const auto poison = [](Head<float>& head, Index key) {
    for (Index c = 0; c < head.k.cols; ++c) head.k(key, c) = std::nanf("");
    for (Index c = 0; c < head.v.cols; ++c) {
      head.v(key, c) = c % 2 == 0 ? std::nanf("") : std::numeric_limits<float>::infinity();
    }
  };
  for (const auto& [seen, packed] : std::vector<std::pair<Index, bool>>{{1, false},
                                                                        {1, true},
                                                                        {3, false},
                                                                        {63, true},
                                                                        {64, false},
                                                                        {64, true},
                                                                        {65, true},
                                                                        {100, false},
                                                                        {100, true}}) {
    SCOPED_TRACE(testing::Message() << seen << ' ' << packed);
    Head<float> clean(120, 120, 16, 19), head(120, 120, 16, 19);
    clean.causal = head.causal = true;
    for (Index j = seen; j < 120; ++j) poison(head, j);
    attend(clean, {0, 120}, everything, nullptr, packed);
    attend(head, {0, 120}, everything, nullptr, packed);
    expect_close(head, {0, seen}, [](Index i, Index j) { return j <= i; });
    for (Index i = 0; i < 120; ++i) {
      EXPECT_EQ(std::isnan(head.out(i, 0)), i >= seen);
      for (Index c = 0; c < 19 && i < seen; ++c) EXPECT_EQ(head.out(i, c), clean.out(i, c));
    }
  }
}

TEST(StreamingSoftmax, InfiniteValuesReachThoseWhoSeeThem) {
  Head<float> head(100, 100, 16, 16);
  head.causal = true;
  head.v(40, 5) = std::numeric_limits<float>::infinity();
  attend(head, {0, 100}, everything);
  for (Index i = 0; i < 100; ++i) {
    EXPECT_EQ(std::isfinite(head.out(i, 5)), i < 40);
    EXPECT_TRUE(std::isfinite(head.out(i, 4)));
  }
}

TEST(StreamingSoftmax, NotANumberAmongSeenKeysShowsInTheOutput) {
  Head<float> head(8, 100, 16, 16);
  head.k(50, 3) = std::nanf("");
  attend(head, {0, 8}, everything);
  for (Index i = 0; i < 8; ++i) EXPECT_TRUE(std::isnan(head.out(i, 0)));
}

TEST(StreamingSoftmax, ExtremeScoresStayFinite) {
  for (const double spread : {30.0, 100.0, 1e4, 1e10, 5e18}) {
    SCOPED_TRACE(spread);
    Head<float> head(33, 300, 8, 8, spread);
    attend(head, {0, 33}, everything);
    for (Index i = 0; i < 33; ++i) {
      EXPECT_TRUE(std::isfinite(head.log_sum_exp[i]));
      for (Index c = 0; c < 8; ++c) EXPECT_TRUE(std::isfinite(head.out(i, c)));
    }
  }
  Head<float> head(33, 300, 8, 8, 100);  // scores up to about 1e5
  expect_attends(head, {0, 33}, everything, kEverything);
}

TEST(StreamingSoftmax, GrowingScoresRescaleAtEveryBlock) {
  Head<float> head(7, 1000, 4, 4);
  for (Index j = 0; j < 1000; ++j) {
    for (Index c = 0; c < 4; ++c) head.k(j, c) = 0.02f * static_cast<float>(j);
  }
  for (Index i = 0; i < 7; ++i) {
    for (Index c = 0; c < 4; ++c) head.q(i, c) = i % 2 == 0 ? 1.0f : -1.0f;
  }
  expect_attends(head, {0, 7}, everything, kEverything);
}

TEST(StreamingSoftmax, WritesNothingButItsRows) {
  Head<float> head(40, 50, 8, 6);
  attend(head, {10, 12, 2}, everything);
  std::set<Index> written;
  for (Index i = 0; i < 40; ++i) {
    if (!std::isnan(head.out(i, 0))) written.insert(i);
    for (Index c = 6; c < head.out.stride; ++c) EXPECT_TRUE(std::isnan(head.out(i, c)));
  }
  EXPECT_EQ(written.size(), 12u);
  EXPECT_EQ(*written.begin(), 10);
  EXPECT_EQ(*written.rbegin(), 32);
  EXPECT_EQ(head.log_sum_exp[9], 7);
}

TEST(StreamingSoftmax, ExecutedWorkCoversTheUsefulWork) {
  Head<float> full(192, 256, 32, 32);
  const Work whole = attend(full, {0, 192}, everything);
  EXPECT_EQ(whole.multiply_adds, 192.0 * 256 * 64);
  EXPECT_EQ(whole.exponentials, 192.0 * 256);
  Head<float> head(192, 192, 32, 32);
  head.causal = true;
  const Work causal = attend(head, {0, 192}, everything);
  EXPECT_GE(causal.exponentials, 192.0 * 193 / 2);
  EXPECT_LE(causal.exponentials, 192.0 * 193 / 2 + 192 * 22);
}

template <class Products>
void expect_ten_digits(Index dim, bool causal) {
  SCOPED_TRACE(testing::Message() << dim << ' ' << causal);
  using Tile = HWY_NAMESPACE::SoftmaxTile<Products>;
  Head<double> head(50, 200, dim, dim + 2);
  head.causal = causal;
  head.first_query = 120;
  const HWY_NAMESPACE::SoftmaxInputs<double> inputs{
      head.q, head.k, head.v, head.out, head.log_sum_exp.data(), false, head.scale, causal, 120};
  Scratch scratch;
  scratch.worker_bytes = Tile::bytes(50, dim, dim + 2);
  SimpleRun run(scratch);
  std::vector<KeySpan> spans(2);
  KeyPlan plan(200, spans, {});
  plan.all(0, 33);
  plan.band(33, 200, 1, 60, 20);
  HWY_NAMESPACE::attend_tile<Products>(inputs, {0, 50}, plan, nullptr, run.worker());
  const auto errors = head.errors({0, 50}, [&](Index i, Index j) {
    const Index position = 120 + i;
    if (causal && j > position) return false;
    return j < 33 || (j >= position - 60 && j <= position + 20);
  });
  EXPECT_LE(errors.out, 1e-10);
  EXPECT_LE(errors.log_sum_exp, 1e-10);
}

TEST(StreamingSoftmax, InDoubleAgreesToTenDigits) {
  for (const Index dim : {1, 3, 8, 15, 64, 130}) {
    for (const bool causal : {false, true}) {
      expect_ten_digits<HWY_NAMESPACE::PlainProducts<double>>(dim, causal);
      expect_ten_digits<HWY_NAMESPACE::DirectProducts<double>>(dim, causal);
    }
  }
}

TEST(StreamingSoftmax, FewQueriesAgreeAtEveryWidth) {
  for (const Index queries : {1, 2, 3, 4}) {
    for (Index dim = 1; dim <= 80; dim += dim < 20 ? 1 : 7) {
      SCOPED_TRACE(testing::Message() << queries << ' ' << dim);
      Head<float> head(queries, 150, dim, 81 - dim);
      head.causal = true;
      head.first_query = 140;
      const auto plan = [](Rows, KeyPlan& plan) {
        plan.all(0, 70);
        plan.all(72, 150, 2);
        plan.single(std::vector<std::int32_t>{70, 71, 73});
      };
      expect_attends(head, {0, queries}, plan,
                     [&](Index i, Index j) { return j <= 140 + i && (j <= 73 || j % 2 == 0); });
    }
  }
}

TEST(StreamingSoftmax, AFewQueriesSeeNothingOfWhatComesLater) {
  Head<float> head(2, 90, 24, 21);
  head.causal = true;
  head.first_query = 40;
  for (Index j = 42; j < 90; ++j) {
    for (Index c = 0; c < 24; ++c) head.k(j, c) = std::nanf("");
    for (Index c = 0; c < 21; ++c) head.v(j, c) = std::nanf("");
  }
  attend(head, {0, 2}, everything);
  expect_close(head, {0, 2}, [](Index i, Index j) { return j <= 40 + i; });
}

}  // namespace
}  // namespace subquad
