#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 8.
constexpr double kTolerance = 8 * 32 * kEpsilon;

using Row = std::vector<double>;

Row row_of(VariantTrial::Matrix& matrix, Index i) {
  Row row;
  for (Index c = 0; c < matrix.cols; ++c) row.push_back(matrix(i, c));
  return row;
}
double dot(const Row& a, const Row& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
Row unit(Row row) {
  const double length = std::sqrt(dot(row, row));
  for (double& value : row) value /= length;
  return row;
}
/// Routing looks at directions alone, so layer norm is: without the mean, and any length.
Row centred(Row row) {
  const double mean = std::accumulate(row.begin(), row.end(), 0.0) / row.size();
  for (double& value : row) value -= mean;
  return row;
}

/// The method by its definition: boolean memberships, all in double.
class Definition {
 public:
  Definition(VariantTrial& trial, Index clusters, Index window, bool shared)
      : trial_(trial), clusters_(clusters), shared_(shared) {
    const Problem& p = trial.problem;
    query_members_ =
        memberships(trial.q, window > 0 ? window : (p.queries + clusters - 1) / clusters);
    key_members_ =
        shared ? query_members_
               : memberships(trial.k, window > 0 ? window : (p.keys + clusters - 1) / clusters);
  }

  std::vector<double> output(bool self_if_alone) {
    const Problem& p = trial_.problem;
    std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
    alone = several = 0;
    for (Index i = 0; i < p.queries; ++i) {
      std::vector<Row> results;
      for (Index c = 0; c < clusters_; ++c) {
        if (!query_members_[c][i]) continue;
        Row sum(static_cast<std::size_t>(p.value_dim));
        double norm = 0;
        for (Index j = 0; j < p.keys; ++j) {
          if (!key_members_[c][j] || (p.causal && j > p.first_query + i)) continue;
          const Row key = shared_ ? unit(row_of(trial_.q, j)) : row_of(trial_.k, j);
          const double weight = std::exp(p.score_scale() * dot(row_of(trial_.q, i), key));
          norm += weight;
          for (Index e = 0; e < p.value_dim; ++e) sum[e] += weight * trial_.v(j, e);
        }
        if (norm == 0) continue;
        for (double& value : sum) value /= norm;
        results.push_back(sum);
      }
      for (Index e = 0; e < p.value_dim; ++e) {
        double& value = out[i * p.value_dim + e];
        for (const Row& result : results) value += result[e] / results.size();
        if (results.empty() && self_if_alone && p.first_query + i < p.keys) {
          value = trial_.v(p.first_query + i, e);
        }
      }
      alone += results.empty();
      several += results.size() > 1;
    }
    return out;
  }

  /// Members of each cluster, in order, one cluster after the other.
  static std::vector<std::int32_t> listed(const std::vector<std::vector<bool>>& members) {
    std::vector<std::int32_t> list;
    for (const auto& cluster : members) {
      for (std::size_t i = 0; i < cluster.size(); ++i) {
        if (cluster[i]) list.push_back(static_cast<std::int32_t>(i));
      }
    }
    return list;
  }
  std::vector<std::int32_t> queries() const { return listed(query_members_); }
  std::vector<std::int32_t> keys() const { return listed(key_members_); }

  Index alone = 0, several = 0;

 private:
  std::vector<std::vector<bool>> memberships(VariantTrial::Matrix& tokens, Index taken) {
    const ConstView centroids = trial_.tensors.matrix("centroids");
    std::vector<std::vector<bool>> members;
    for (Index c = 0; c < clusters_; ++c) {
      const Row centroid(centroids.row(c), centroids.row(c) + centroids.cols);
      std::vector<std::pair<double, Index>> scores;
      for (Index i = 0; i < tokens.rows; ++i) {
        // Unlike lengths are put right: layer norm gives all rows the same.
        scores.emplace_back(-dot(centroid, unit(centred(row_of(tokens, i)))), i);
      }
      std::sort(scores.begin(), scores.end());
      members.emplace_back(static_cast<std::size_t>(tokens.rows));
      for (Index i = 0; i < std::min(taken, tokens.rows); ++i) members[c][scores[i].second] = true;
    }
    return members;
  }

  VariantTrial& trial_;
  Index clusters_;
  bool shared_;
  std::vector<std::vector<bool>> query_members_, key_members_;
};

std::vector<std::int32_t> choice(const VariantTrial& trial, const char* name) {
  const auto members = trial.tensors.integers(name);
  return {members.begin(), members.end()};
}

struct Case {
  std::string expression;
  Index clusters, window;
  bool shared;
};

TEST(Routing, EqualsItsDefinition) {
  const Case cases[] = {
      {"routing(clusters=5,window=20)", 5, 20, false},
      {"routing(clusters=7)", 7, 0, false},
      {"routing(clusters=20,window=3)", 20, 3, false},
      {"routing(clusters=1,window=9)", 1, 9, false},
      {"routing(clusters=5,window=20,qk=shared)", 5, 20, true},
      {"routing(clusters=20,window=3,qk=shared,unrouted=zero)", 20, 3, true},
      {"routing(clusters=9,window=11,unrouted=zero)", 9, 11, false},
  };
  for (const bool causal : {false, true}) {
    for (const Case& one : cases) {
      VariantTrial trial(one.expression, self_problem(100, 8, 5, causal), 2, 1.2);
      Definition definition(trial, one.clusters, one.window, one.shared);
      const std::vector<float> out = trial.forward();
      EXPECT_EQ(choice(trial, "query_members"), definition.queries()) << one.expression;
      if (!one.shared) {
        EXPECT_EQ(choice(trial, "key_members"), definition.keys()) << one.expression;
      }
      const bool self = one.expression.find("zero") == std::string::npos;
      EXPECT_LT(VariantTrial::difference(out, definition.output(self)), kTolerance)
          << one.expression << " causal=" << causal;
      // Otherwise the rules about them were not tried.
      EXPECT_GT(definition.alone, 0) << one.expression;
      EXPECT_EQ(definition.several > 0, one.clusters > 1) << one.expression;
    }
  }
}

TEST(Routing, CrossAttentionAndLateQueries) {
  for (const Problem& problem :
       {Problem{.queries = 70, .keys = 40, .dim = 8, .value_dim = 3}, Problem{.queries = 30,
                                                                      .keys = 90,
                                                                      .dim = 8,
                                                                      .value_dim = 3,
                                                                      .causal = true,
                                                                      .first_query = 60}}) {
    VariantTrial trial("routing(clusters=6)", problem);
    Definition definition(trial, 6, 0, false);
    EXPECT_LT(VariantTrial::difference(trial.forward(), definition.output(true)), kTolerance);
    EXPECT_GT(definition.alone, 0);
  }
}

TEST(Routing, ClustersDefaultToTheSquareRootAndWindowsToTheirShare) {
  const VariantTrial trial("routing", self_problem(121, 8, 4));
  EXPECT_EQ(trial.tensors.matrix("centroids").rows, 11);
  EXPECT_EQ(trial.tensors.integers("query_members").size(), 121u);
  const VariantTrial uneven("routing(clusters=10)", self_problem(121, 8, 4));
  EXPECT_EQ(uneven.tensors.integers("key_members").size(), 130u);
}

TEST(Routing, QueriesOfNoClusterSeeThemselvesOrNothing) {
  VariantTrial self("routing(clusters=2,window=4)", self_problem(60, 8, 5));
  VariantTrial zero("routing(clusters=2,window=4,unrouted=zero)", self_problem(60, 8, 5));
  const std::vector<float> own = self.forward(), nothing = zero.forward();
  const std::vector<std::int32_t> routed = choice(self, "query_members");
  Index alone = 0;
  for (Index i = 0; i < 60; ++i) {
    if (std::find(routed.begin(), routed.end(), i) != routed.end()) continue;
    ++alone;
    for (Index e = 0; e < 5; ++e) {
      EXPECT_EQ(own[i * 5 + e], self.v(i, e));
      EXPECT_EQ(nothing[i * 5 + e], 0);
    }
  }
  EXPECT_GE(alone, 52);
}

TEST(Routing, SeveralClustersAreAveragedAndNotOneSoftmax) {
  // Both centroids take query 0. The first takes key 0 alone, the second key 1 alone, whose score
  // is far larger: under one softmax the output would be its value.
  VariantTrial trial("routing(clusters=2,window=1)",
                     {.queries = 1, .keys = 2, .dim = 4, .value_dim = 1});
  const float keys[2][4] = {{1, -1, 0, 0}, {0, 0, 9, -9}};
  for (Index j = 0; j < 2; ++j) {
    for (Index c = 0; c < 4; ++c)
      trial.k(j, c) = trial.tensors.writable("centroids")(j, c) = keys[j][c];
    trial.v(j, 0) = static_cast<float>(j);
  }
  for (Index c = 0; c < 4; ++c) trial.q(0, c) = keys[1][c];
  EXPECT_FLOAT_EQ(trial.forward()[0], 0.5f);
}

// A key that several clusters show is one key of the mass that is kept.
TEST(Routing, LogSumExpCountsEachKeyOnce) {
  const Problem problem{.queries = 40, .keys = 40, .dim = 8, .value_dim = 8, .causal = true};
  VariantTrial trial("routing(clusters=4,window=25)", problem);
  trial.forward();
  const auto queries = choice(trial, "query_members"), keys = choice(trial, "key_members");
  for (Index i = 0; i < problem.queries; ++i) {
    std::vector<bool> seen(40);
    for (std::size_t at = 0; at < queries.size(); ++at) {
      if (queries[at] != i) continue;
      for (std::size_t k = at / 25 * 25; k < (at / 25 + 1) * 25; ++k) seen[keys[k]] = keys[k] <= i;
    }
    if (std::find(seen.begin(), seen.end(), true) == seen.end()) seen[i] = true;
    double sum = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      double dot = 0;
      for (Index c = 0; c < 8; ++c) {
        dot += static_cast<double>(trial.q(i, c)) * static_cast<double>(trial.k(j, c));
      }
      if (seen[j]) sum += std::exp(dot / std::sqrt(8.0));
    }
    EXPECT_NEAR(trial.log_sum_exp[i], std::log(sum), 1e-5) << i;
  }
}

TEST(Routing, OneClusterIsItsDenseTarget) {
  for (const bool causal : {false, true}) {
    for (const char* qk : {"separate", "shared"}) {
      const Problem problem = self_problem(131, 8, 5, causal);
      VariantTrial trial(std::string("routing(clusters=1,window=0,qk=") + qk + ")", problem);
      VariantTrial dense(trial.variant->dense_target(problem), problem);
      EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance) << qk;
    }
  }
}

/// Rows around four directions, each with mean 0, in turn.
constexpr float kDirections[4][4] = {{1, -1, 0, 0}, {-1, 1, 0, 0}, {0, 0, 1, -1}, {0, 0, -1, 1}};
VariantTrial::Matrix around_directions(std::uint64_t seed, Index directions) {
  Generator random(seed);
  VariantTrial::Matrix rows{std::vector<float>(200 * 4), 200, 4, 4};
  for (Index i = 0; i < 200; ++i) {
    const double length = random.uniform(0.5, 4);
    for (Index c = 0; c < 4; ++c) {
      rows(i, c) = static_cast<float>(length * kDirections[i % directions][c] +
                                      0.03 * random.normal() + 2.5);
    }
  }
  return rows;
}

TEST(Routing, CalibrateFindsDirectionsOfQueriesAndKeys) {
  VariantTrial trial("routing(clusters=4)", self_problem(200, 4, 4));
  // Starts that are off, but nearer to one direction each.
  const View centroids = trial.tensors.writable("centroids");
  for (Index c = 0; c < 4; ++c) {
    for (Index d = 0; d < 4; ++d) {
      centroids(c, d) = 0.4f * kDirections[c][d] + 0.3f * kDirections[(c + 2) % 4][d];
    }
  }
  const auto queries = around_directions(1, 2), keys = around_directions(2, 4);
  const Window window{.q = queries.view(), .k = keys.view(), .v = {}, .x = {}, .target = {}};
  trial.variant->calibrate(trial.problem, std::vector<Window>(3, window), trial.tensors);
  for (Index c = 0; c < 4; ++c) {
    double along = 0, squares = 0;
    for (Index d = 0; d < 4; ++d) {
      along += centroids(c, d) * kDirections[c][d] / std::sqrt(2);
      squares += double{centroids(c, d)} * centroids(c, d);
    }
    EXPECT_NEAR(squares, 1, 1e-5);
    EXPECT_GT(along, 0.99) << c;
  }
  // Queries know two of the directions alone: with shared keys nothing comes near the others.
  VariantTrial shared("routing(clusters=4,qk=shared)", self_problem(200, 4, 4));
  const View kept = shared.tensors.writable("centroids");
  for (Index c = 0; c < 4; ++c) std::copy_n(kDirections[c], 4, kept.row(c));
  shared.variant->calibrate(shared.problem, {{window}}, shared.tensors);
  for (Index c = 2; c < 4; ++c) {
    for (Index d = 0; d < 4; ++d) EXPECT_EQ(kept(c, d), kDirections[c][d]);
  }
  EXPECT_NE(kept(0, 0), kDirections[0][0]);
}

TEST(Routing, CalibratedCentroidsKeepTopicsTogether) {
  const Problem problem = self_problem(256, 16, 4);
  double drawn = 0, calibrated = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    VariantTrial trial("routing(clusters=8)", problem, seed);
    Generator random(seed, 5);
    // Queries and keys of eight topics, in turn.
    std::vector<float> topics(8 * 16);
    random.normals(topics, 2);
    for (Index i = 0; i < 256; ++i) {
      for (Index c = 0; c < 16; ++c) {
        trial.q(i, c) = topics[i % 8 * 16 + c] + 0.3f * static_cast<float>(random.normal());
        trial.k(i, c) = topics[i % 8 * 16 + c] + 0.3f * static_cast<float>(random.normal());
      }
    }
    const auto same_topic = [&] {
      trial.forward();
      const std::vector<double> weights = trial.weights();
      double sum = 0;
      for (Index i = 0; i < 256; ++i) {
        for (Index j = 0; j < 256; ++j) sum += (i % 8 == j % 8) && weights[i * 256 + j] > 0;
      }
      return sum;
    };
    drawn += same_topic();
    trial.variant->calibrate(
        problem,
        {{Window{.q = trial.q.view(), .k = trial.k.view(), .v = {}, .x = {}, .target = {}}}},
        trial.tensors);
    calibrated += same_topic();
  }
  // Pairs of one topic that are seen. All would be 81920; k-means ends in local optima.
  EXPECT_GT(calibrated, 1.1 * drawn);
}

TEST(Routing, ForwardLeavesCentroidsAlone) {
  VariantTrial trial("routing", self_problem(64, 8, 4));
  const ConstView centroids = trial.tensors.matrix("centroids");
  const std::vector<float> before(centroids.data, centroids.data + centroids.rows * 8);
  trial.forward();
  EXPECT_TRUE(std::equal(before.begin(), before.end(), centroids.data));
}

TEST(Routing, SharedKeysNeedSelfAttention) {
  const Problem cross{.queries = 5, .keys = 9, .dim = 4, .value_dim = 4};
  EXPECT_NE(make_variant(parse_expression("routing(qk=shared)"), cross)->refuses(cross), "");
  EXPECT_EQ(make_variant(parse_expression("routing"), cross)->refuses(cross), "");
}

}  // namespace
}  // namespace subquad
