#include "subquad/restriction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

/// A pattern with every kind of key: a dilated band, a column that is asked about, single keys.
class Mixed final : public Restriction {
 public:
  Mixed(Index step, Index tile) : step_(step), tile_(tile) {}

  bool sees(const PlanCall& call, Index query, Index key) const override {
    if (key == 2 || key == 5) return true;
    if (key >= 8 && key < 20) return (query + key) % 3 == 0;
    const Index distance = key - call.problem.position(query);
    return key >= 20 && distance % step_ == 0 && std::abs(distance) <= 10 * step_;
  }
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    EXPECT_EQ(queries.step, step_);
    if (tile_ > 0) {
      EXPECT_EQ(queries.begin / tile_, queries.last() / tile_);
    }
    keys.asked(8, 20);
    const Index position = call.problem.position(queries.begin);
    const Index first = position % step_ + (20 + step_ - 1) / step_ * step_;
    const Index low = position - 10 * step_;
    const Index begin = low >= 20 ? low : first - step_ >= 20 ? first - step_ : first;
    keys.band(begin, call.problem.position(queries.last()) + 10 * step_ + 1, step_, 10 * step_,
              10 * step_);
    const std::int32_t singles[] = {2, 5};
    keys.single(singles);
  }
  PlanLimits plan_limits(const Problem&) const override { return {.spans = 2, .singles = 2}; }
  QueryPass pass(const Problem&, Index) const override { return {.step = step_, .block = tile_}; }

 private:
  Index step_, tile_;
};

/// A window, a stride that is seen beside it, and rows 3, 50 and 51 that see all: three passes.
class Crossed final : public Restriction {
 public:
  static constexpr Index kRadius = 4, kStride = 7;

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const Index distance = std::abs(key - call.problem.position(query));
    return sees_all(query) || distance <= kRadius || distance % kStride == 0;
  }
  bool belongs(const PlanCall& call, Index query, Index key) const override {
    const Index distance = std::abs(key - call.problem.position(query));
    if (distance <= kRadius) return call.pass == 0;
    if (distance % kStride == 0) return call.pass == 1;
    return call.pass == 2 && sees_all(query);
  }
  Index passes(const Problem&) const override { return 3; }
  QueryPass pass(const Problem&, Index number) const override {
    if (number == 2) return {.listed = 4};
    return {.step = number == 0 ? 1 : kStride};
  }
  Index list_rows(const PlanCall& call, std::span<std::int32_t> rows) const override {
    Index count = 0;
    for (const Index row : {3, 50, 51}) {
      if (row < call.problem.queries) rows[count++] = static_cast<std::int32_t>(row);
    }
    return count;
  }
  PlanLimits plan_limits(const Problem&) const override { return {.spans = 2}; }
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index first = call.problem.position(queries.begin);
    const Index last = call.problem.position(queries.last());
    if (call.pass == 0) {
      keys.band(first - kRadius, last + kRadius + 1, 1, kRadius, kRadius);
    } else if (call.pass == 1) {
      keys.outside(first % kStride, call.problem.keys, kStride, kRadius, kRadius);
    } else {
      EXPECT_NE(queries.listed, nullptr);
      keys.asked(0, call.problem.keys);
    }
  }

 private:
  static bool sees_all(Index query) { return query == 3 || query == 50 || query == 51; }
};

/// Forward against the reference, and counted pairs against the reference's weights.
void expect_right(const Restriction& variant, const Problem& problem) {
  Generator random(1);
  const auto draw = [&](Index count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    // Exactly representable in float: both see the same numbers.
    for (double& value : values) value = static_cast<float>(random.normal());
    return values;
  };
  const std::vector<double> q = draw(problem.queries * 13), k = draw(problem.keys * 13),
                            v = draw(problem.keys * 21);
  const std::vector<float> qf(q.begin(), q.end()), kf(k.begin(), k.end()), vf(v.begin(), v.end());
  const MapTensors tensors;
  const auto rows = static_cast<std::size_t>(problem.queries);
  std::vector<float> out(rows * 21, std::nanf("")), log_sum_exp(rows, std::nanf(""));
  SimpleRun run(variant.scratch(problem));
  variant.forward({problem,
                   {qf.data(), problem.queries, 13},
                   {kf.data(), problem.keys, 13},
                   {vf.data(), problem.keys, 21},
                   {},
                   {out.data(), problem.queries, 21},
                   log_sum_exp.data(),
                   tensors,
                   {},
                   run});
  std::vector<double> expected(rows * 21), expected_sums(rows);
  const ReferenceCall reference{problem,
                                {q.data(), problem.queries, 13},
                                {k.data(), problem.keys, 13},
                                {v.data(), problem.keys, 21},
                                {},
                                {expected.data(), problem.queries, 21},
                                expected_sums.data(),
                                tensors};
  variant.reference(reference);
  // 16 x epsilon x (scores of up to about 5) x (values of up to about 4).
  const double tolerance = 16 * std::numeric_limits<float>::epsilon() * 5 * 4;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(out[i], expected[i], tolerance) << "element " << i;
  }
  for (std::size_t i = 0; i < rows; ++i) {
    if (std::isinf(expected_sums[i])) {
      EXPECT_EQ(log_sum_exp[i], expected_sums[i]);
    } else {
      EXPECT_NEAR(log_sum_exp[i], expected_sums[i], tolerance);
    }
  }

  std::vector<double> weights(rows * static_cast<std::size_t>(problem.keys));
  variant.weights(reference, {weights.data(), problem.queries, problem.keys});
  double pairs = 0;
  for (const double weight : weights) pairs += weight > 0;
  EXPECT_EQ(variant.pairs(problem), pairs);
  EXPECT_EQ(variant.cost(problem).useful.exponentials, pairs);
  EXPECT_EQ(variant.cost(problem).useful.multiply_adds, pairs * (13 + 21));
  EXPECT_GE(run.executed().exponentials, pairs);
  EXPECT_GE(run.executed().multiply_adds, pairs * (13 + 21));
}

struct Shape4 {
  Index queries, keys, first_query;
  bool causal;

  Problem problem() const {
    return {.queries = queries,
            .keys = keys,
            .dim = 13,
            .value_dim = 21,
            .causal = causal,
            .first_query = first_query};
  }
};

class Patterns : public testing::TestWithParam<Shape4> {};

TEST_P(Patterns, OfEveryKindOfKeyEqualTheReference) {
  for (const Index step : {1, 3}) {
    for (const Index tile : {0, 16, 500}) {
      SCOPED_TRACE(testing::Message() << "step " << step << ", tile " << tile);
      expect_right(Mixed(step, tile), GetParam().problem());
    }
  }
}

TEST_P(Patterns, OfSeveralPassesEqualTheReference) {
  expect_right(Crossed(), GetParam().problem());
}

INSTANTIATE_TEST_SUITE_P(Shapes, Patterns,
                         testing::Values(Shape4{1, 30, 25, false}, Shape4{97, 97, 0, false},
                                         Shape4{97, 97, 0, true}, Shape4{30, 411, 381, true},
                                         Shape4{450, 450, 0, true}, Shape4{300, 700, 50, false}));

TEST(KeyPlan, HoldsNoMoreThanItsLimits) {
  std::vector<KeySpan> spans(1);
  std::vector<std::int32_t> singles(2);
  KeyPlan plan(100, spans, singles);
  plan.all(-10, -5);  // lies outside: takes no room
  plan.all(0, 10);
  EXPECT_THROW(plan.all(20, 30), std::logic_error);
  plan.single(std::vector<std::int32_t>{1, 2});
  EXPECT_THROW(plan.single(std::vector<std::int32_t>{3}), std::logic_error);
}

TEST(KeyPlan, CutsSpansOffAtBothEndsWithoutShiftingTheirStride) {
  std::vector<KeySpan> spans(2);
  KeyPlan plan(100, spans, {});
  plan.all(-7, 200, 5);
  ASSERT_EQ(plan.spans().size(), 1u);
  EXPECT_EQ(plan.spans()[0].keys.begin, 3);
  EXPECT_EQ(plan.spans()[0].keys.last(), 98);
}

}  // namespace
}  // namespace subquad
