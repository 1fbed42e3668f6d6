#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 6.
constexpr double kTolerance = 6 * 32 * kEpsilon;

using Matrix = std::vector<std::vector<double>>;

/// Lloyd's algorithm on vectors of bits, from evenly spaced queries.
std::vector<int> naive_labels(VariantTrial& trial, int clusters, int bits, int iterations) {
  const ConstView planes = trial.tensors.matrix("planes");
  const Index n = trial.problem.queries;
  std::vector<std::vector<bool>> words, centres;
  for (Index i = 0; i < n; ++i) {
    words.emplace_back();
    for (int b = 0; b < bits; ++b) {
      double dot = 0;
      for (Index c = 0; c < trial.problem.dim; ++c) dot += double{trial.q(i, c)} * planes(c, b);
      words[i].push_back(dot > 0);
    }
  }
  for (int c = 0; c < clusters; ++c) centres.push_back(words[c * n / clusters]);
  std::vector<int> labels;
  for (int iteration = 0;; ++iteration) {
    labels.clear();
    for (const auto& word : words) {
      std::vector<int> distances;
      for (const auto& centre : centres) {
        distances.push_back(0);
        for (int b = 0; b < bits; ++b) distances.back() += word[b] != centre[b];
      }
      labels.push_back(static_cast<int>(std::min_element(distances.begin(), distances.end()) -
                                        distances.begin()));
    }
    if (iteration == iterations) return labels;
    for (int c = 0; c < clusters; ++c) {
      const auto size = std::count(labels.begin(), labels.end(), c);
      for (int b = 0; b < bits && size > 0; ++b) {
        std::ptrdiff_t ones = 0;
        for (Index i = 0; i < n; ++i) ones += labels[i] == c && words[i][b];
        centres[c][b] = 2 * ones > size;
      }
    }
  }
}

std::vector<double> softmax(const Problem& p, VariantTrial& trial, const std::vector<double>& x) {
  std::vector<double> row;
  double sum = 0;
  for (Index j = 0; j < p.keys; ++j) {
    double dot = 0;
    for (Index c = 0; c < p.dim; ++c) dot += x[c] * trial.k(j, c);
    row.push_back(std::exp(p.score_scale() * dot));
    sum += row.back();
  }
  for (double& weight : row) weight /= sum;
  return row;
}

/// The paper's equations 4 and 5 (top = 0), or 9 to 11, with matrices written out.
Matrix naive_weights(VariantTrial& trial, const std::vector<int>& labels, Index top) {
  const Problem& p = trial.problem;
  Matrix weights;
  for (Index i = 0; i < p.queries; ++i) {
    std::vector<double> mean(static_cast<std::size_t>(p.dim)), own;
    double size = 0;
    for (Index l = 0; l < p.queries; ++l) size += labels[l] == labels[i];
    for (Index c = 0; c < p.dim; ++c) {
      own.push_back(trial.q(i, c));
      for (Index l = 0; l < p.queries; ++l) {
        if (labels[l] == labels[i]) mean[c] += trial.q(l, c) / size;
      }
    }
    std::vector<double> row = softmax(p, trial, mean);
    const std::vector<double> exact = softmax(p, trial, own);
    std::vector<Index> order(row.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](Index a, Index b) { return row[a] > row[b]; });
    order.resize(static_cast<std::size_t>(std::min(top, p.keys)));
    double mass = 0, sum = 0;
    for (const Index j : order) {
      mass += row[j];
      sum += exact[j];
    }
    for (const Index j : order) row[j] = mass * exact[j] / sum;
    weights.push_back(row);
  }
  return weights;
}

std::vector<double> times_values(const Matrix& weights, VariantTrial& trial) {
  std::vector<double> out;
  for (const auto& row : weights) {
    for (Index c = 0; c < trial.problem.value_dim; ++c) {
      out.push_back(0);
      for (std::size_t j = 0; j < row.size(); ++j) {
        out.back() += row[j] * trial.v(static_cast<Index>(j), c);
      }
    }
  }
  return out;
}

std::vector<int> labels_of(const VariantTrial& trial) {
  const auto labels = trial.tensors.integers("labels");
  return {labels.begin(), labels.end()};
}

struct Case {
  const char* expression;
  int clusters, bits, iterations;
  Index top;
};

TEST(Clustered, EqualsItsDefinition) {
  const Case cases[] = {{"clustered(clusters=7,keys=5)", 7, 63, 10, 5},
                        {"clustered(clusters=7,improved=false)", 7, 63, 10, 0},
                        {"clustered(clusters=20,keys=1,bits=16,iterations=1)", 20, 16, 1, 1},
                        {"clustered(clusters=20,keys=9,bits=64,iterations=0)", 20, 64, 0, 9},
                        {"clustered(clusters=30,keys=9,bits=3,iterations=3)", 30, 3, 3, 9},
                        {"clustered(clusters=1,keys=200)", 1, 63, 10, 200}};
  for (const Problem& problem :
       {self_problem(131, 8, 5), Problem{.queries = 300, .keys = 77, .dim = 8, .value_dim = 5}}) {
    for (const Case& one : cases) {
      VariantTrial trial(one.expression, problem);
      const std::vector<float> out = trial.forward();
      const std::vector<int> labels = naive_labels(trial, one.clusters, one.bits, one.iterations);
      EXPECT_EQ(labels_of(trial), labels) << one.expression;
      const Matrix weights = naive_weights(trial, labels, one.top);
      EXPECT_LT(VariantTrial::difference(out, times_values(weights, trial)), kTolerance)
          << one.expression;
    }
  }
}

TEST(Clustered, IterationsAreASwitch) {
  VariantTrial none("clustered(clusters=7,iterations=0)", self_problem(131, 8, 5));
  VariantTrial ten("clustered(clusters=7)", self_problem(131, 8, 5));
  none.forward();
  ten.forward();
  EXPECT_NE(labels_of(none), labels_of(ten));
}

TEST(Clustered, TopKeysKeepTheMassOfTheCentroid) {
  VariantTrial improved("clustered(clusters=6,keys=8)", self_problem(90, 8, 5), 4, 1.3);
  VariantTrial plain("clustered(clusters=6,improved=false)", self_problem(90, 8, 5), 4, 1.3);
  improved.forward();
  plain.forward();
  const std::vector<int> labels = labels_of(improved);
  ASSERT_EQ(labels, labels_of(plain));
  const std::vector<double> a = improved.weights(), b = plain.weights();
  const auto top = improved.tensors.integers("top_keys");
  double moved = 0;
  for (Index i = 0; i < 90; ++i) {
    double mass = 0, centroid_mass = 0, row = 0;
    for (Index t = 0; t < 8; ++t) {
      const Index key = top[labels[i] * 8 + t];
      mass += a[i * 90 + key];
      centroid_mass += b[i * 90 + key];
      moved += std::abs(a[i * 90 + key] - b[i * 90 + key]);
    }
    for (Index j = 0; j < 90; ++j) row += a[i * 90 + j];
    EXPECT_NEAR(mass, centroid_mass, 1e-12);
    EXPECT_NEAR(row, 1, 1e-12);
  }
  EXPECT_GT(moved, 1);
}

TEST(Clustered, AsManyClustersAsQueriesIsExact) {
  for (const Index n : {1, 17, 131}) {
    for (const char* improved : {"true", "false"}) {
      const Problem problem = self_problem(n, 8, 5);
      const std::string setting = "clustered(clusters=" + std::to_string(n) + ",improved=";
      VariantTrial trial(setting + improved + ")", problem), dense("dense", problem);
      // Queries of one direction, whose hashes are the same, would share a cluster.
      for (Index i = 1; i < n; ++i) {
        for (Index c = 0; c < 8; ++c) {
          trial.q(i, c) = trial.q(0, c) * (1 + static_cast<float>(i % 7) / 10);
        }
      }
      dense.q = trial.q;
      EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance) << n;
    }
  }
}

TEST(Clustered, AllKeysOnTopAreExactForAnyClusters) {
  const Problem problem = self_problem(131, 8, 5);
  VariantTrial trial("clustered(clusters=3,keys=131)", problem), dense("dense", problem);
  EXPECT_LT(VariantTrial::difference(trial.forward(), dense.reference()), kTolerance);
}

TEST(Clustered, ErrorFallsWithTheBudget) {
  double previous = 1e9;
  for (const int clusters : {2, 16, 64, 128}) {
    double error = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const Problem problem = self_problem(200, 8, 8);
      VariantTrial trial("clustered(keys=16,clusters=" + std::to_string(clusters) + ")", problem,
                         seed);
      const std::vector<float> out = trial.forward();
      const std::vector<double> exact = VariantTrial("dense", problem, seed).reference();
      for (std::size_t i = 0; i < out.size(); ++i) error += std::pow(out[i] - exact[i], 2);
    }
    EXPECT_LT(error, previous) << clusters;
    previous = error;
  }
}

TEST(Clustered, LoadedLabelsAreUsedAndChecked) {
  VariantTrial trial("clustered(clusters=4,keys=5,labels=loaded)", self_problem(60, 8, 5));
  const std::span<std::int32_t> labels = trial.tensors.choices("labels");
  // Cluster 2 stays empty.
  for (std::size_t i = 0; i < 60; ++i) labels[i] = i % 3 == 2 ? 3 : static_cast<int>(i % 3);
  const std::vector<float> out = trial.forward();
  const Matrix weights = naive_weights(trial, labels_of(trial), 5);
  EXPECT_LT(VariantTrial::difference(out, times_values(weights, trial)), kTolerance);
  for (const int wrong : {-1, 4}) {
    labels[17] = wrong;
    try {
      trial.forward();
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), "clustered: tensor 'labels' holds " + std::to_string(wrong) +
                                  "; labels must lie in [0, 4)");
    }
  }
}

TEST(Clustered, IsNotCausal) {
  const Problem problem = self_problem(20, 4, 4, true);
  EXPECT_NE(make_variant(parse_expression("clustered"), problem)->refuses(problem), "");
}

}  // namespace
}  // namespace subquad
