#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "support/masked_attention.h"

namespace subquad {
namespace {

using testing::HasSubstr;

using Sees = std::function<bool(Index position, Index key)>;

Problem square(Index n, bool causal) {
  return {.queries = n, .keys = n, .dim = 12, .value_dim = 20, .causal = causal};
}

/// Largest distance from softmax over the keys that `sees` gives, in double.
double distance_from_masked(VariantTrial& trial, const Sees& sees) {
  const auto want =
      masked_attention(trial, [&](Index i, Index j) { return sees(trial.problem.position(i), j); });
  return VariantTrial::difference(trial.forward(), want.out);
}

Sees window(Index radius, Index dilation = 1) {
  return [=](Index i, Index j) {
    const Index distance = std::abs(i - j);
    return distance % dilation == 0 && distance / dilation <= radius;
  };
}
Sees either(Sees a, Sees b) {
  return [a = std::move(a), b = std::move(b)](Index i, Index j) { return a(i, j) || b(i, j); };
}

// Windows inside windows, beside each other, and across: keys that several patterns see count once.
TEST(Union, EqualsMaskedAttentionOverTheUnitedKeys) {
  const std::pair<const char*, Sees> unions[] = {
      {"union(local(radius=9),local(radius=4))", window(9)},
      {"union(local(radius=9),local(radius=9))", window(9)},
      {"union(local(radius=5),local(radius=4,dilation=3))", either(window(5), window(4, 3))},
      {"union(local(radius=4,dilation=3),local(radius=5))", either(window(5), window(4, 3))},
      {"union(local(radius=7,dilation=2),local(radius=6,dilation=5))",
       either(window(7, 2), window(6, 5))},
      {"union(local(radius=2),local(radius=7,dilation=2),local(radius=6,dilation=5))",
       either(window(2), either(window(7, 2), window(6, 5)))},
      {"union(union(local(radius=2),local(radius=1,dilation=9)),local(radius=20,dilation=4))",
       either(window(2), either(window(1, 9), window(20, 4)))}};
  for (const auto& [expression, sees] : unions) {
    for (const bool causal : {false, true}) {
      for (const Index n : {1, 33, 230}) {
        SCOPED_TRACE(testing::Message() << expression << ", n " << n << (causal ? ", causal" : ""));
        VariantTrial trial(expression, square(n, causal));
        EXPECT_LT(distance_from_masked(trial, sees), 2e-6);
      }
    }
  }
}

TEST(Union, DrawsEachPatternsTensorsAndTakesTheLoadedOnes) {
  const Problem problem = square(64, false);
  VariantTrial trial("union(local(radius=1),random_pattern(keys=1,block=32))", problem);
  const auto drawn = trial.tensors.integers("member1_keys");
  ASSERT_EQ(drawn.size(), 2U);
  const Sees sees = either(
      window(1), [&](Index i, Index j) { return j == drawn[static_cast<std::size_t>(i / 32)]; });
  EXPECT_LT(distance_from_masked(trial, sees), 2e-6);
}

// Useful work is that of the united pairs: not the sum of the patterns'.
TEST(Union, CountsPairsOnce) {
  const auto cost = [](const char* expression) {
    const Problem problem = square(200, true);
    return make_variant(parse_expression(expression), problem)->cost(problem);
  };
  EXPECT_EQ(cost("union(local(radius=9),local(radius=4))").useful, cost("local(radius=9)").useful);
  EXPECT_EQ(cost("union(local(radius=1),local(radius=2,dilation=2))").useful.exponentials,
            200 + 199 + 198 + 196);
  EXPECT_TRUE(cost("union(local,local(radius=2))").exact);
  EXPECT_FALSE(cost("union(local,random_pattern)").exact);
}

TEST(Union, OfWindowsDoesLittleMoreThanTheWidest) {
  const Problem problem = square(2000, false);
  VariantTrial widest("local(radius=100)", problem);
  VariantTrial both("union(local(radius=100),local(radius=3))", problem);
  widest.forward();
  both.forward();
  EXPECT_EQ(both.executed, widest.executed);
}

std::string error_of(const char* expression) {
  try {
    const Problem problem = square(8, false);
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Union, SaysWhatCannotBeAPart) {
  EXPECT_THAT(error_of("union(linear,local)"), HasSubstr("linear does not say which keys"));
  EXPECT_THAT(error_of("union(heads(local,local))"), HasSubstr("heads(...)"));
  EXPECT_THAT(error_of("union(local(precision=bf16_plain))"), HasSubstr("precision"));
  EXPECT_THAT(error_of("union(local(radius=-1))"), HasSubstr("radius = -1"));
  EXPECT_THAT(error_of("union(local,radius=1)"), HasSubstr("no parameter 'radius'"));
  EXPECT_THAT(error_of("local(local)"), HasSubstr("takes nothing else"));
}

TEST(Union, ResolvesPatternsAndOwnParameters) {
  const Problem problem = square(64, false);
  const auto resolved = [&](const char* text) {
    return resolved_expression(parse_expression(text), problem).text();
  };
  EXPECT_EQ(resolved("union(local(radius=n/8),precision=bf16_plain)"),
            "union(local(radius=8,dilation=1,precision=f32),precision=bf16_plain)");
  EXPECT_EQ(resolved("union"), resolved("union(local(radius=8),random_pattern(keys=8))"));
  EXPECT_EQ(resolved(resolved("union").c_str()), resolved("union"));
}

}  // namespace
}  // namespace subquad
