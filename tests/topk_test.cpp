#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "subquad/registry.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 6.
constexpr double kTolerance = 6 * 32 * kEpsilon;

/// Softmax of all scores of a query, by loops; 0 for keys that causality hides.
std::vector<double> dense_weights(VariantTrial& trial, Index query) {
  const Problem& p = trial.problem;
  std::vector<double> row(static_cast<std::size_t>(p.keys));
  double sum = 0;
  for (Index j = 0; j < p.keys; ++j) {
    if (!p.sees(query, j)) continue;
    double dot = 0;
    for (Index c = 0; c < p.dim; ++c) dot += double{trial.q(query, c)} * trial.k(j, c);
    sum += row[j] = std::exp(p.score_scale() * dot);
  }
  for (double& weight : row) weight /= sum;
  return row;
}

/// By definition: keys from the heaviest on, at most `most`, until they have the mass.
std::vector<Index> heaviest(const std::vector<double>& weights, Index most, double mass) {
  std::vector<Index> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return weights[a] > weights[b]; });
  std::vector<Index> chosen;
  double kept = 0;
  for (const Index key : order) {
    if (static_cast<Index>(chosen.size()) == most || weights[key] == 0) break;
    if (mass < 1 && !chosen.empty() && kept >= mass) break;
    chosen.push_back(key);
    kept += weights[key];
  }
  return chosen;
}

struct Case {
  const char* expression;
  Index most;
  double mass;
};
constexpr Index kAll = 1000;
constexpr Case kCases[] = {
    {"topk(keys=1)", 1, 1},
    {"topk(keys=7)", 7, 1},
    {"topk(keys=0)", kAll, 1},
    {"topk(keys=0,mass=0.6)", kAll, 0.6},
    {"topk(keys=5,mass=0.6)", 5, 0.6},
    {"topk(keys=9,mass=0)", 1, 1},
};

TEST(TopK, AttendsToTheHeaviestKeysAlone) {
  for (const bool causal : {false, true}) {
    for (const Case& one : kCases) {
      VariantTrial trial(one.expression, self_problem(67, 8, 5, causal), 3, 1.3);
      const std::vector<float> out = trial.forward();
      std::vector<double> expected(out.size());
      for (Index i = 0; i < 67; ++i) {
        const std::vector<double> weights = dense_weights(trial, i);
        double kept = 0;
        for (const Index j : heaviest(weights, one.most, one.mass)) {
          kept += weights[j];
          for (Index c = 0; c < 5; ++c) expected[i * 5 + c] += weights[j] * trial.v(j, c);
        }
        for (Index c = 0; c < 5; ++c) expected[i * 5 + c] /= kept;
      }
      EXPECT_LT(VariantTrial::difference(out, expected), kTolerance) << one.expression << causal;
    }
  }
}

TEST(TopK, OfEqualScoresTheEarlierKeyIsChosen) {
  VariantTrial trial("topk(keys=3)", self_problem(40, 4, 4));
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  trial.forward();
  const std::span<const std::int32_t> keys = trial.tensors.integers("keys");
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(keys[i], static_cast<int>(i % 3));
}

TEST(TopK, NotANumberIsNoCrash) {
  VariantTrial trial("topk(keys=3,mass=0.5)", self_problem(200, 4, 4));
  for (Index i = 0; i < 200; i += 3) trial.k(i, 0) = NAN;
  trial.forward();
  for (const std::int32_t key : trial.tensors.integers("keys")) {
    EXPECT_LT(key, 200);
    EXPECT_TRUE(key < 0 || key % 3 != 0) << key;
  }
}

/// Mass of the full softmax that lies on the keys to which a variant's reference gives weight, and
/// their number, row by row.
struct Kept {
  std::vector<double> mass;
  std::vector<Index> keys;

  explicit Kept(VariantTrial& trial) {
    trial.forward();
    const std::vector<double> weights = trial.weights();
    for (Index i = 0; i < trial.problem.queries; ++i) {
      const std::vector<double> dense = dense_weights(trial, i);
      mass.push_back(0);
      keys.push_back(0);
      for (Index j = 0; j < trial.problem.keys; ++j) {
        if (weights[i * trial.problem.keys + j] == 0) continue;
        mass.back() += dense[j];
        ++keys.back();
      }
    }
  }
};

TEST(TopK, KeepsAtLeastTheMassOfEveryRestrictionOfAsManyKeys) {
  int compared = 0;
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(150, 8, 3, causal);
    std::map<Index, Kept> best;
    const auto best_of = [&](Index keys) -> const Kept& {
      const auto found = best.find(keys);
      if (found != best.end()) return found->second;
      VariantTrial oracle("topk(keys=" + std::to_string(keys) + ")", problem);
      return best.try_emplace(keys, oracle).first->second;
    };
    for (const Registration* at = local_registrations; at != nullptr; at = at->next) {
      const std::string name(at->info.name);
      const auto variant = at->make();
      const bool restricts = at->powers.weights && variant->target(problem) == Target::restriction;
      if ((!restricts && !at->powers.plan) || !variant->refuses(problem).empty()) continue;
      if (variant->dense_target(problem) != "dense" || !variant->consumes().k) continue;
      VariantTrial trial(name, problem);
      const Kept kept(trial);
      for (Index i = 0; i < problem.queries; ++i) {
        if (kept.keys[i] == 0) continue;
        const Kept& oracle = best_of(kept.keys[i]);
        ASSERT_EQ(oracle.keys[i], kept.keys[i]) << name << i;
        // Which keys are largest is decided by scores in float.
        EXPECT_GE(oracle.mass[i], kept.mass[i] * (1 - 32 * kEpsilon)) << name << " row " << i;
      }
      ++compared;
    }
  }
  EXPECT_GE(compared, 4);
}

}  // namespace
}  // namespace subquad
