// lsh against its definition: hashes, sorting, chunks and memberships recomputed in double from the
// rotations, with every switch, and softmax over the mask that follows. Nothing is taken from the
// variant but the rotations, and the bucket where two are too near to call.

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 5; each of up to 5 rounds is merged with a few roundings.
constexpr double kTolerance = 5 * 32 * kEpsilon;

struct Setting {
  std::string text;  ///< switches, as in an expression
  Index rounds = 3;
  Index first = 16, second = 1;  ///< hash values; first = 1: one bucket
  Index chunk = 16;
  bool shared = true, across = false, duplicates = false, wrap = false, unscaled = false;
  double self_penalty = 1e5;
};

/// Bucket of each token in each round. `chosen` decides between buckets within rounding.
std::vector<std::vector<Index>> hash(const Setting& setting, const VariantTrial::Matrix& rows,
                                     std::span<const float> rotations,
                                     std::span<const std::int32_t> chosen) {
  const Index dim = rows.cols, directions = setting.first / 2 + setting.second / 2;
  std::vector<std::vector<Index>> buckets;
  for (Index r = 0; r < setting.rounds; ++r) {
    std::vector<Index>& round = buckets.emplace_back();
    for (Index i = 0; i < rows.rows; ++i) {
      const Index given = chosen[r * rows.rows + i];
      Index bucket = 0;
      for (const bool second : {false, true}) {
        const Index values = second ? setting.second : setting.first;
        if (values == 1) continue;
        std::vector<double> projections(static_cast<std::size_t>(values));
        for (Index c = 0; c < values / 2; ++c) {
          const Index column = r * directions + (second ? setting.first / 2 : 0) + c;
          for (Index h = 0; h < dim; ++h) {
            projections[c] += double{rows.values[i * rows.stride + h]} *
                              rotations[h * setting.rounds * directions + column];
          }
          projections[c + values / 2] = -projections[c];
        }
        const auto largest = std::max_element(projections.begin(), projections.end());
        Index value = largest - projections.begin();
        const Index given_value = second ? given % values : given / setting.second;
        if (projections[given_value] > *largest - 1e-5) value = given_value;
        bucket = bucket * values + value;
      }
      round.push_back(bucket);
    }
  }
  return buckets;
}

/// Chunk of each token of one round, by sorting pairs.
std::vector<Index> chunks(const std::vector<Index>& buckets, Index length) {
  std::set<std::pair<Index, Index>> sorted;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    sorted.insert({buckets[i], static_cast<Index>(i)});
  }
  std::vector<Index> result(buckets.size());
  Index place = 0;
  for (const auto& [bucket, token] : sorted) result[token] = place++ / length;
  return result;
}

/// Where queries and keys are sorted apart: is key j, of the query's bucket, in the chunk as far
/// along as the query's, or in the one before?
bool is_as_far_along(const std::vector<Index>& queries, Index i, const std::vector<Index>& keys,
                     Index j, Index length) {
  const Index bucket = queries[i];
  const auto count = [&](const std::vector<Index>& all, Index end) -> Index {
    return std::count(all.begin(), all.begin() + end, bucket);
  };
  const auto n = static_cast<Index>(queries.size());
  const auto chunk_count = [&](Index tokens) { return (tokens + length - 1) / length; };
  const Index chunk =
      count(queries, i) / length * chunk_count(count(keys, n)) / chunk_count(count(queries, n));
  const Index of_key = count(keys, j) / length;
  return of_key == chunk || of_key + 1 == chunk;
}

/// How often each pair is seen, [n, n].
std::vector<Index> multiplicities(const Setting& setting, VariantTrial& trial) {
  const Index n = trial.problem.keys;
  std::vector<float> rotations;
  if (setting.first > 1) {
    const ConstView matrix = trial.tensors.matrix("rotations");
    rotations.assign(matrix.data, matrix.data + matrix.rows * matrix.cols);
  }
  const auto queries = hash(setting, trial.q, rotations, trial.tensors.integers("query_buckets"));
  const auto keys = setting.shared
                        ? queries
                        : hash(setting, trial.k, rotations, trial.tensors.integers("key_buckets"));
  std::vector<Index> seen(static_cast<std::size_t>(n * n));
  for (Index r = 0; r < setting.rounds; ++r) {
    const auto query_chunks = chunks(queries[r], setting.chunk);
    const auto key_chunks = chunks(keys[r], setting.chunk);
    const Index last = (n + setting.chunk - 1) / setting.chunk - 1;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        if (trial.problem.causal && j > i) continue;
        if (!setting.across && queries[r][i] != keys[r][j]) continue;
        const Index back = query_chunks[i] > 0 ? query_chunks[i] - 1 : setting.wrap ? last : -1;
        if (!setting.shared && !setting.across) {
          if (!is_as_far_along(queries[r], i, keys[r], j, setting.chunk)) continue;
        } else if (key_chunks[j] != query_chunks[i] && key_chunks[j] != back) {
          continue;
        }
        Index& times = seen[i * n + j];
        times = setting.duplicates ? times + 1 : 1;
      }
    }
  }
  return seen;
}

double dot(const VariantTrial::Matrix& a, Index i, const VariantTrial::Matrix& b, Index j) {
  double sum = 0;
  for (Index c = 0; c < a.cols; ++c) {
    sum += double{a.values[i * a.stride + c]} * b.values[j * b.stride + c];
  }
  return sum;
}

/// The output, after `trial.forward()`.
std::vector<double> defined_output(const Setting& setting, VariantTrial& trial) {
  const Problem& problem = trial.problem;
  const Index n = problem.keys;
  const std::vector<Index> seen = multiplicities(setting, trial);
  const double scale = setting.unscaled ? 1 : problem.score_scale();
  std::vector<double> out(static_cast<std::size_t>(n * problem.value_dim));
  for (Index i = 0; i < n; ++i) {
    const auto score = [&](Index j) {
      if (!setting.shared) return scale * dot(trial.q, i, trial.k, j);
      const double cosine = dot(trial.q, i, trial.q, j) / std::sqrt(dot(trial.q, j, trial.q, j));
      return scale * cosine - (i == j ? setting.self_penalty : 0);
    };
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Index j = 0; j < n; ++j) {
      if (seen[i * n + j] > 0) largest = std::max(largest, score(j));
    }
    for (Index j = 0; j < n; ++j) {
      if (seen[i * n + j] == 0) continue;
      const double weight = static_cast<double>(seen[i * n + j]) * std::exp(score(j) - largest);
      sum += weight;
      for (Index c = 0; c < problem.value_dim; ++c) {
        out[i * problem.value_dim + c] += weight * trial.v(j, c);
      }
    }
    for (Index c = 0; c < problem.value_dim && sum > 0; ++c) out[i * problem.value_dim + c] /= sum;
  }
  return out;
}

/// 131 tokens and buckets of 8: 16 buckets and chunks of 16, unless a switch says otherwise.
std::vector<Setting> settings() {
  return {
      {.text = ""},
      {.text = "scale=none", .unscaled = true},
      {.text = "across_buckets=true", .across = true},
      {.text = "duplicates=true", .duplicates = true},
      {.text = "self_penalty=0", .self_penalty = 0},
      {.text = "self_penalty=0.5", .self_penalty = 0.5},
      {.text = "chunk=5", .chunk = 5},
      {.text = "factorised=always", .first = 4, .second = 4},
      {.text = "qk=separate", .shared = false},
      {.text = "across_buckets=true,wrap=true", .across = true, .wrap = true},
      {.text = "bucket=131,chunk=40,wrap=true", .first = 1, .chunk = 40, .wrap = true},
      {.text = "bucket=131,chunk=40", .first = 1, .chunk = 40},
      {.text = "bucket=60,chunk=70,wrap=true", .first = 2, .chunk = 70, .wrap = true},
      {.text = "across_buckets=true,wrap=true,duplicates=true,self_penalty=0",
       .across = true,
       .duplicates = true,
       .wrap = true,
       .self_penalty = 0},
      {.text = "qk=separate,across_buckets=true,wrap=true",
       .shared = false,
       .across = true,
       .wrap = true},
      {.text = "qk=separate,chunk=3,rounds=5", .rounds = 5, .chunk = 3, .shared = false},
      {.text = "qk=separate,duplicates=true,scale=none,factorised=always",
       .first = 4,
       .second = 4,
       .shared = false,
       .duplicates = true,
       .unscaled = true},
      {.text = "rounds=1,chunk=1", .rounds = 1, .chunk = 1},
  };
}

std::string expression(const Setting& setting) {
  std::string arguments = setting.text;
  for (const char* given : {"bucket=8", "rounds=3"}) {
    const std::string name(given, 7);
    if (("," + setting.text).find("," + name) == std::string::npos) {
      arguments += (arguments.empty() ? "" : ",") + std::string(given);
    }
  }
  return "lsh(" + arguments + ")";
}

class LshDefinition : public testing::TestWithParam<bool> {};

TEST_P(LshDefinition, OutputIsSoftmaxOverTheKeysOfItsBuckets) {
  for (const Setting& setting : settings()) {
    for (const Index n : {131, 17}) {
      Setting own = setting;
      if (n == 17) {  // two buckets of 8 tokens, or one: the same rules with fewer of everything
        if (setting.second > 1 || setting.text.find("bucket=60") != std::string::npos) continue;
        own.first = std::min<Index>(own.first, 2);
        own.chunk = std::min<Index>(own.chunk, n);
      }
      const Problem problem = self_problem(n, 8, 5, GetParam());
      const std::string text = expression(setting);
      VariantTrial trial(text, problem, 4, 1, 3);
      if (!trial.variant->refuses(problem).empty()) continue;
      const std::vector<float> out = trial.forward();
      EXPECT_LT(VariantTrial::difference(out, defined_output(own, trial)), kTolerance)
          << text << " n=" << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CausalOrNot, LshDefinition, testing::Bool());

/// Each pair differs in one switch; what is defined differs by far more than the tolerance above,
/// so that a switch that is ignored fails there.
TEST(Lsh, EverySwitchChangesTheDefinition) {
  const auto defined = [](const std::string& text) {
    const auto all = settings();
    const auto at = std::find_if(all.begin(), all.end(),
                                 [&](const Setting& setting) { return setting.text == text; });
    EXPECT_NE(at, all.end()) << text;
    VariantTrial trial(expression(*at), self_problem(131, 8, 5), 4);
    trial.forward();
    return defined_output(*at, trial);
  };
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"", "scale=none"},
      {"", "across_buckets=true"},
      {"", "duplicates=true"},
      {"", "self_penalty=0"},
      {"self_penalty=0.5", "self_penalty=0"},
      {"", "chunk=5"},
      {"", "factorised=always"},
      {"", "qk=separate"},
      {"across_buckets=true", "across_buckets=true,wrap=true"},
      {"bucket=131,chunk=40", "bucket=131,chunk=40,wrap=true"},
  };
  for (const auto& [one, other] : pairs) {
    EXPECT_GT(VariantTrial::difference(defined(one), defined(other)), 0.01) << one << " " << other;
  }
}

TEST(Lsh, ChunksAreTwiceTheBucketUnlessTold) {
  const Problem problem = self_problem(131, 8, 5);
  EXPECT_EQ(VariantTrial("lsh(bucket=8)", problem).forward(),
            VariantTrial("lsh(bucket=8,chunk=16)", problem).forward());
  EXPECT_NE(VariantTrial("lsh(bucket=8)", problem).forward(),
            VariantTrial("lsh(bucket=8,chunk=8)", problem).forward());
}

TEST(Lsh, ManyBucketsAreFactorisedUnlessTold) {
  const Problem problem = self_problem(520, 8, 5);  // 130 buckets: 10 x 12
  const auto out = [&](const std::string& switches) {
    return VariantTrial("lsh(rounds=1,bucket=4" + switches + ")", problem).forward();
  };
  EXPECT_EQ(out(""), out(",factorised=always"));
  EXPECT_NE(out(""), out(",factorised=never"));
  const Problem shorter = self_problem(512, 8, 5);  // 128
  EXPECT_EQ(VariantTrial("lsh(rounds=1,bucket=4)", shorter).forward(),
            VariantTrial("lsh(rounds=1,bucket=4,factorised=never)", shorter).forward());
}

TEST(Lsh, BucketsThatDifferInSizeStillMeet) {
  // One feature, two buckets: three of four queries are positive, one of four keys is. Were chunks
  // those of all, the last positive queries would look where negative keys lie.
  VariantTrial trial("lsh(qk=separate,rounds=1,bucket=8,chunk=2)", self_problem(16, 1, 1));
  for (Index i = 0; i < 16; ++i) {
    trial.q(i, 0) = i < 12 ? 1.0f : -1.0f;
    trial.k(i, 0) = i % 4 == 3 ? 1.0f : -1.0f;
  }
  trial.tensors.writable("rotations")(0, 0) = 1;
  trial.forward();
  const std::vector<double> weights = trial.weights();
  const auto seen = [&](Index i) {
    std::set<Index> keys;
    for (Index j = 0; j < 16; ++j) {
      if (weights[i * 16 + j] != 0) keys.insert(j);
    }
    return keys;
  };
  using Keys = std::set<Index>;
  EXPECT_EQ(seen(0), (Keys{3, 7}));           // the first of 6 chunks: the first of 2
  EXPECT_EQ(seen(5), (Keys{3, 7}));           // the third
  EXPECT_EQ(seen(6), (Keys{3, 7, 11, 15}));   // the fourth: the second, and the one before
  EXPECT_EQ(seen(11), (Keys{3, 7, 11, 15}));  // the last
  EXPECT_EQ(seen(12), (Keys{0, 1}));          // the first of 2: the first of 6
  EXPECT_EQ(seen(14), (Keys{5, 6, 8, 9}));    // the second: the fourth, and the one before
}

TEST(Lsh, RoundsOperandsWhereAskedTo) {
  const Problem problem = self_problem(131, 8, 5);
  VariantTrial exact("lsh(bucket=16)", problem),
      rounded("lsh(bucket=16,precision=bf16_plain)", problem);
  const std::vector<float> expected = exact.forward(), out = rounded.forward();
  const double difference = VariantTrial::difference(out, expected);
  EXPECT_GT(difference, 1e-4);
  EXPECT_LT(difference, 8 * rounded.variant->operand_roundoff());
}

TEST(Lsh, RefusesMoreCellsThanCanBeTold) {
  const Problem problem = self_problem(1 << 17, 4, 4);
  EXPECT_NE(make_variant(parse_expression("lsh(bucket=1)"), problem)->refuses(problem), "");
  EXPECT_EQ(make_variant(parse_expression("lsh(bucket=4)"), problem)->refuses(problem), "");
}

}  // namespace
}  // namespace subquad
