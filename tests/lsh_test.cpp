#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 5; each of up to 8 rounds is merged with a few roundings.
constexpr double kTolerance = 5 * 32 * kEpsilon;

const char* const kExpressions[] = {
    "lsh(bucket=16)",
    "lsh(bucket=16,rounds=1)",
    "lsh(bucket=16,scale=none)",
    "lsh(bucket=16,across_buckets=true)",
    "lsh(bucket=16,duplicates=true,rounds=8)",
    "lsh(bucket=16,wrap=true,across_buckets=true)",
    "lsh(bucket=16,self_penalty=0)",
    "lsh(bucket=8,chunk=20)",
    "lsh(bucket=30,chunk=7,across_buckets=true,wrap=true,duplicates=true)",
    "lsh(bucket=16,qk=separate)",
    "lsh(bucket=8,qk=separate,across_buckets=true,wrap=true,scale=none)",
    "lsh(bucket=5,qk=separate,duplicates=true,rounds=2)",
    "lsh(bucket=30,qk=separate,chunk=4)",
};

std::string refusal(const std::string& expression, const Problem& problem) {
  return make_variant(parse_expression(expression), problem)->refuses(problem);
}

TEST(Lsh, EqualsReference) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem : {self_problem(1, 3, 2, causal), self_problem(2, 3, 2, causal),
                                   self_problem(17, 8, 5, causal), self_problem(131, 5, 7, causal),
                                   self_problem(257, 16, 16, causal)}) {
      for (const char* expression : kExpressions) {
        if (!refusal(expression, problem).empty()) continue;
        EXPECT_LT(VariantTrial(expression, problem).error(), kTolerance)
            << expression << " n=" << problem.keys << " causal=" << causal;
        EXPECT_LT(VariantTrial(expression, problem, 2, 1, 3).error(), kTolerance) << expression;
      }
    }
  }
}

TEST(Lsh, LogSumExpEqualsReference) {
  for (const bool causal : {false, true}) {
    for (const char* expression : {"lsh(bucket=16,rounds=3,self_penalty=10)",
                                   "lsh(bucket=16,qk=separate)", "lsh(bucket=3,chunk=3)"}) {
      const Problem problem = self_problem(131, 5, 7, causal);
      if (!refusal(expression, problem).empty()) continue;
      VariantTrial trial(expression, problem);
      trial.error();
      for (Index i = 0; i < 131; ++i) {
        const double expected = trial.reference_log_sum_exp[i];
        if (std::isinf(expected)) {
          EXPECT_EQ(trial.log_sum_exp[i], expected) << expression << i;
          for (Index c = 0; c < 7; ++c) EXPECT_EQ(trial.forward()[i * 7 + c], 0);
        } else {
          // A token alone has a score of -1e5, of which float has seven digits.
          EXPECT_NEAR(trial.log_sum_exp[i], expected, 4 * kEpsilon * std::max(30.0, -expected))
              << expression << i;
        }
      }
    }
  }
}

/// Dense attention with keys q / |q|, by loops.
std::vector<double> dense_shared(VariantTrial& trial, double scale, double self_penalty) {
  const Problem& p = trial.problem;
  std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
  for (Index i = 0; i < p.queries; ++i) {
    std::vector<double> scores;
    for (Index j = 0; j < p.keys; ++j) {
      double dot = 0, squares = 0;
      for (Index c = 0; c < p.dim; ++c) {
        dot += double{trial.q(i, c)} * trial.q(j, c);
        squares += double{trial.q(j, c)} * trial.q(j, c);
      }
      scores.push_back(scale * dot / std::sqrt(squares) - (i == j ? self_penalty : 0));
    }
    const Index seen = p.causal ? i + 1 : p.keys;
    const double largest = *std::max_element(scores.begin(), scores.begin() + seen);
    double norm = 0;
    for (Index j = 0; j < seen; ++j) {
      const double weight = std::exp(scores[j] - largest);
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * trial.v(j, c);
    }
    for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] /= norm;
  }
  return out;
}

TEST(Lsh, OneBucketAndChunkIsItsDenseTarget) {
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 17, 131}) {
      const Problem problem = self_problem(n, 8, 5, causal);
      const std::string setting =
          make_variant(parse_expression("lsh"), problem)->exact_when(problem);
      VariantTrial trial("lsh(" + setting + ")", problem);
      EXPECT_LT(
          VariantTrial::difference(trial.forward(), dense_shared(trial, 1 / std::sqrt(8.0), 1e5)),
          kTolerance);
      VariantTrial dense(trial.variant->dense_target(problem), problem);
      EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
    }
  }
}

TEST(Lsh, DenseTargetFollowsTheSwitches) {
  const Problem problem = self_problem(60, 8, 5);
  for (const char* switches : {"scale=none", "self_penalty=0", "self_penalty=2,scale=none",
                               "qk=separate", "qk=separate,scale=none"}) {
    VariantTrial trial(std::string("lsh(rounds=1,bucket=60,") + switches + ")", problem);
    VariantTrial dense(trial.variant->dense_target(problem), problem);
    EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance) << switches;
  }
}

TEST(Lsh, ScaleIsASwitch) {
  VariantTrial scaled("lsh(rounds=1,bucket=60)", self_problem(60, 16, 5));
  VariantTrial plain("lsh(rounds=1,bucket=60,scale=none)", self_problem(60, 16, 5));
  EXPECT_LT(VariantTrial::difference(plain.forward(), dense_shared(plain, 1, 1e5)), kTolerance);
  EXPECT_GT(VariantTrial::difference(scaled.forward(), dense_shared(plain, 1, 1e5)), 0.05);
}

/// Four tokens of one feature whose buckets are known: positive ones share a bucket, negative ones
/// the other, so the sorted order is +, +, +, -, -, -.
class Signs : public testing::Test {
 protected:
  static std::vector<double> weights(const std::string& arguments, std::vector<float> q,
                                     bool causal = false) {
    const auto n = static_cast<Index>(q.size());
    VariantTrial trial("lsh(rounds=1,bucket=" + std::to_string(n / 2) + "," + arguments + ")",
                       self_problem(n, 1, 1, causal));
    for (Index i = 0; i < n; ++i) trial.q(i, 0) = q[i];
    trial.tensors.writable("rotations")(0, 0) = 1;
    trial.forward();
    return trial.weights();
  }
};

TEST_F(Signs, QueriesSeeTheirBucket) {
  const std::vector<double> row = weights("chunk=4,self_penalty=0", {2, -3, 2, -3});
  const double half = 0.5;
  EXPECT_EQ(row, (std::vector<double>{half, 0, half, 0,  //
                                      0, half, 0, half,  //
                                      half, 0, half, 0,  //
                                      0, half, 0, half}));
}

TEST_F(Signs, AcrossBucketsTheyAlsoSeeTheChunkAndTheOneBefore) {
  // Sorted: 0, 2 | 1, 3. Chunk 1 looks back at chunk 0, chunk 0 at nothing.
  const auto zero = [](const std::vector<double>& weights, Index i, Index j) {
    return weights[i * 4 + j] == 0;
  };
  const std::vector<double> open =
      weights("chunk=2,across_buckets=true,self_penalty=0", {2, -3, 2, -3});
  EXPECT_FALSE(zero(open, 1, 0));
  EXPECT_FALSE(zero(open, 3, 2));
  EXPECT_TRUE(zero(open, 0, 1));
  const std::vector<double> wrapped =
      weights("chunk=2,across_buckets=true,self_penalty=0,wrap=true", {2, -3, 2, -3});
  EXPECT_FALSE(zero(wrapped, 0, 1));
  const std::vector<double> closed = weights("chunk=2,self_penalty=0,wrap=true", {2, -3, 2, -3});
  EXPECT_TRUE(zero(closed, 0, 1));
  EXPECT_TRUE(zero(closed, 1, 0));
}

TEST_F(Signs, ATokenSeesItselfOnlyIfThereIsNothingElse) {
  const std::vector<double> row = weights("chunk=4", {2, -3, 2, 2});
  EXPECT_EQ(row[0 * 4 + 0], 0);  // others share its bucket
  EXPECT_EQ(row[1 * 4 + 1], 1);  // alone
  EXPECT_NEAR(row[0 * 4 + 2], 0.5, 1e-12);
  // The penalty is subtracted: 1 from a score of 2 leaves weights 1 : e : e.
  const std::vector<double> mild = weights("chunk=4,self_penalty=1", {2, -3, 2, 2});
  EXPECT_NEAR(mild[0], 1 / (1 + 2 * std::exp(1.0)), 1e-12);
}

TEST_F(Signs, CausalityGoesByOriginalPosition) {
  // Sorted: 1, 3 | 0, 2 would put the future before the past; position decides all the same.
  const std::vector<double> row = weights("chunk=4", {-3, 2, -3, 2}, true);
  EXPECT_EQ(row[0 * 4 + 0], 1);  // first of its bucket: nothing but itself
  EXPECT_EQ(row[0 * 4 + 2], 0);
  EXPECT_EQ(row[2 * 4 + 0], 1);
  EXPECT_EQ(row[3 * 4 + 1], 1);
}

TEST_F(Signs, ChunkLimitsWhatABucketHolds) {
  // One bucket of six: sorted 0 ... 5, chunks of two: token 5 sees 2 to 5 and not 0, 1.
  const std::vector<double> row = weights("chunk=2,self_penalty=0", {2, 2, 2, 2, 2, 2});
  EXPECT_EQ(row[5 * 6 + 1], 0);
  EXPECT_NEAR(row[5 * 6 + 2], 0.25, 1e-12);
  EXPECT_NEAR(row[0 * 6 + 1], 0.5, 1e-12);
}

TEST(Lsh, DuplicatesCountOnceUnlessAsked) {
  // Two rounds; tokens 0 and 1 meet in both, 0 and 2 in the first alone. All keys equal.
  const auto weights = [](const char* duplicates) {
    VariantTrial trial(
        std::string("lsh(rounds=2,bucket=2,chunk=4,self_penalty=0,duplicates=") + duplicates + ")",
        self_problem(4, 2, 1));
    const View q = {&trial.q(0, 0), 4, 2};
    q(0, 0) = 3, q(0, 1) = 4;
    q(1, 0) = 3, q(1, 1) = 4;
    q(2, 0) = 3, q(2, 1) = -4;
    q(3, 0) = -3, q(3, 1) = -4;
    const View rotations = trial.tensors.writable("rotations");  // [2 columns x 2 rounds, 1]
    rotations(0, 0) = 1, rotations(2, 0) = 0;                    // round 0: sign of column 0
    rotations(1, 0) = 0, rotations(3, 0) = 1;                    // round 1: sign of column 1
    EXPECT_LT(trial.error(), kTolerance);
    return trial.weights();
  };
  const double near = std::exp(5 / std::sqrt(2.0));                // q_0 . k_1 = 5
  const double far = std::exp((9.0 - 16.0) / 5 / std::sqrt(2.0));  // q_0 . k_2 = -7 / 5
  const std::vector<double> once = weights("false"), twice = weights("true");
  EXPECT_NEAR(once[2] / once[1], far / near, 1e-12);
  EXPECT_NEAR(twice[2] / twice[1], far / near / 2, 1e-12);
  EXPECT_EQ(once[3], 0);
}

TEST(Lsh, MoreRoundsKeepMoreKeys) {
  double before = 0;
  for (const char* rounds : {"1", "2", "4", "8"}) {
    VariantTrial trial(std::string("lsh(bucket=16,rounds=") + rounds + ")",
                       self_problem(256, 8, 4));
    trial.forward();
    double kept = 0;
    for (double weight : trial.weights()) kept += weight != 0;
    EXPECT_GT(kept, before);
    before = kept;
  }
}

TEST(Lsh, NumberOfBucketsIsEven) {
  const auto columns = [](Index n, const char* expression) {
    VariantTrial trial(expression, self_problem(n, 2, 2));
    return trial.tensors.matrix("rotations").cols;
  };
  EXPECT_EQ(columns(100, "lsh(bucket=10)"), 5);
  EXPECT_EQ(columns(100, "lsh(bucket=14)"), 3);      // 7 buckets become 6
  EXPECT_EQ(columns(100, "lsh(bucket=99)"), 1);      // never fewer than 2
  EXPECT_EQ(columns(1000, "lsh(bucket=5)"), 7 + 7);  // 200 buckets become 14 x 14
  EXPECT_EQ(columns(1000, "lsh(bucket=7)"), 6 + 5);  // 142: 12 x 10
  EXPECT_EQ(columns(1280, "lsh(bucket=10)"), 64);    // 128 are made of one hash
  EXPECT_EQ(columns(1000, "lsh(bucket=5,factorised=never)"), 100);
  EXPECT_EQ(columns(100, "lsh(bucket=10,factorised=always)"), 1 + 2);  // 10: 2 x 4
}

TEST(Lsh, ValuesOfTheFutureStayOut) {
  for (const char* expression :
       {"lsh(bucket=16)", "lsh(bucket=16,across_buckets=true,wrap=true)"}) {
    const Problem problem = self_problem(150, 6, 7, true);
    VariantTrial clean(expression, problem), poisoned(expression, problem);
    for (Index j = 76; j < 150; ++j) {
      for (Index c = 0; c < 7; ++c) poisoned.v(j, c) = 3e38f;
    }
    const std::vector<float> expected = clean.forward(), out = poisoned.forward();
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + 76 * 7, expected.begin()));
  }
}

TEST(Lsh, RefusesCrossAttentionAndCausalSeparateKeys) {
  EXPECT_NE(refusal("lsh", {.queries = 4, .keys = 8, .dim = 4, .value_dim = 4}), "");
  EXPECT_NE(refusal("lsh(qk=separate)", self_problem(8, 4, 4, true)), "");
  EXPECT_EQ(refusal("lsh(qk=separate)", self_problem(8, 4, 4)), "");
}

TEST(Lsh, WorkStaysWithinItsBound) {
  for (const char* expression : kExpressions) {
    VariantTrial trial(expression, self_problem(131, 5, 7));
    trial.forward();
    const Cost cost = trial.variant->cost(trial.problem);
    double pairs = 0;
    for (double weight : trial.weights()) pairs += weight != 0;
    EXPECT_FALSE(cost.exact);
    EXPECT_LE(pairs, cost.useful.exponentials) << expression;
  }
}

TEST(Lsh, SurvivesExtremeScores) {
  for (const char* expression : kExpressions) {
    VariantTrial trial(expression, self_problem(61, 8, 8), 3, 3e3);
    for (float value : trial.forward()) EXPECT_TRUE(std::isfinite(value)) << expression;
  }
}

TEST(Lsh, SurvivesQueriesOfLengthZero) {
  VariantTrial trial("lsh(bucket=8)", self_problem(40, 4, 3));
  for (Index c = 0; c < 4; ++c) trial.q(7, c) = 0;
  EXPECT_LT(trial.error(), kTolerance);
}

}  // namespace
}  // namespace subquad
