#include <gtest/gtest.h>

#include <memory>
#include <span>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// As for dense attention (streaming_softmax.h); largest score below 8, and the argument of each
// tanh adds its own rounding.
constexpr double kTolerance = 8 * 16 * std::numeric_limits<float>::epsilon();

/// softmax(v^T tanh(W q + U k)) V by loops.
std::vector<double> by_loops(VariantTrial& trial) {
  const Problem& p = trial.problem;
  const ConstView w = trial.tensors.matrix("w"), u = trial.tensors.matrix("u");
  const ConstView score = trial.tensors.matrix("score");
  std::vector<double> out;
  for (Index i = 0; i < p.queries; ++i) {
    std::vector<double> scores, row(static_cast<std::size_t>(p.value_dim));
    for (Index j = 0; j < p.keys && (!p.causal || j <= i + p.first_query); ++j) {
      scores.push_back(0);
      for (Index h = 0; h < w.rows; ++h) {
        double unit = 0;
        for (Index c = 0; c < p.dim; ++c) {
          unit += double{w(h, c)} * trial.q(i, c) + double{u(h, c)} * trial.k(j, c);
        }
        scores.back() += score.data[h] * std::tanh(unit);
      }
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (std::size_t j = 0; j < scores.size(); ++j) {
      const double weight = std::exp(scores[j] - largest);
      sum += weight;
      for (Index c = 0; c < p.value_dim; ++c) row[c] += weight * trial.v(static_cast<Index>(j), c);
    }
    for (const double value : row) out.push_back(value / sum);
  }
  return out;
}

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {
      self_problem(17, 8, 5),
      self_problem(131, 16, 16),
      self_problem(150, 4, 7, true),
      Problem{.queries = 7, .keys = 210, .dim = 4, .value_dim = 6},
      Problem{.queries = 70, .keys = 3, .dim = 5, .value_dim = 2},
      Problem{
          .queries = 5, .keys = 90, .dim = 6, .value_dim = 3, .causal = true, .first_query = 85}};
  return all;
}

TEST(Additive, IsThePapersFormula) {
  for (const Problem& problem : problems()) {
    for (const char* expression : {"additive", "additive(hidden=1)", "additive(hidden=37)"}) {
      VariantTrial trial(expression, problem);
      EXPECT_LT(VariantTrial::difference(trial.forward(), by_loops(trial)), kTolerance);
      EXPECT_LT(trial.error(), kTolerance);
      EXPECT_LT(trial.weights_error(), 1e-13);
    }
  }
}

TEST(Additive, IsRightWhereScoresAreExtreme) {
  for (const Problem& problem : problems()) {
    VariantTrial trial("additive", problem);
    const View score = trial.tensors.writable("score");
    float largest = 0;
    for (Index h = 0; h < score.cols; ++h) {
      score(0, h) *= 1e4f;
      largest += std::abs(score(0, h));
    }
    const std::vector<float> out = trial.forward();
    for (const float value : out) EXPECT_TRUE(std::isfinite(value));
    // Each tanh is within a few epsilon; so is each score, of the sum of all |v_h|.
    EXPECT_LT(VariantTrial::difference(out, by_loops(trial)),
              8 * largest * std::numeric_limits<float>::epsilon());
  }
}

TEST(Additive, IgnoresTheOrderOfKeys) {
  const Problem problem{.queries = 40, .keys = 130, .dim = 8, .value_dim = 8};
  VariantTrial trial("additive", problem);
  const std::vector<float> out = trial.forward();
  for (Index j = 0; j < problem.keys / 2; ++j) {
    for (Index c = 0; c < problem.dim; ++c) {
      std::swap(trial.k(j, c), trial.k(problem.keys - 1 - j, c));
      std::swap(trial.v(j, c), trial.v(problem.keys - 1 - j, c));
    }
  }
  EXPECT_LT(VariantTrial::difference(trial.forward(), out), kTolerance);
}

TEST(Additive, DoesNotSeeTheFuture) {
  EXPECT_EQ(rows_that_see_the_future("additive", self_problem(150, 8, 8, true)), 0);
}

TEST(Additive, WeighsKeysAlikeWithoutAScoreVector) {
  // The paper's start of training: v = 0.
  const Problem problem = self_problem(50, 8, 4);
  VariantTrial trial("additive", problem);
  const View score = trial.tensors.writable("score");
  std::fill_n(score.data, score.cols, 0.0f);
  EXPECT_LT(VariantTrial::difference(trial.forward(), VariantTrial("mean", problem).forward()),
            1e-6);
}

TEST(Additive, CountsWhatItComputes) {
  const Problem problem{
      .queries = 70, .keys = 129, .dim = 8, .value_dim = 8, .causal = true, .first_query = 20};
  VariantTrial trial("additive(hidden=3)", problem);
  trial.forward();
  double pairs = 0;
  for (Index i = 0; i < problem.queries; ++i) pairs += static_cast<double>(20 + i + 1);
  const Cost cost = trial.variant->cost(problem);
  EXPECT_EQ(cost.useful.exponentials, pairs * 4);
  EXPECT_EQ(cost.useful.multiply_adds, (70 + 90) * 8 * 3 + pairs * (3 + 8));
  EXPECT_GE(trial.executed.exponentials, cost.useful.exponentials);
  EXPECT_GE(trial.executed.multiply_adds, cost.useful.multiply_adds);
}

/// Windows of noise, their targets what an expression makes of them.
class Samples {
 public:
  Samples(const Problem& problem, const std::string& target, int count) {
    for (int i = 0; i < count; ++i) {
      auto trial = std::make_unique<VariantTrial>(target, problem, 100 + i);
      // The same tensors for all windows.
      trial->tensors = DrawnMapTensors(*trial->variant, problem, 99);
      outputs_.push_back(trial->forward());
      windows_.push_back({.q = trial->q.view(),
                          .k = trial->k.view(),
                          .v = trial->v.view(),
                          .x = trial->v.view(),
                          .target = {outputs_.back().data(), problem.queries, problem.value_dim}});
      sources_.push_back(std::move(trial));
    }
  }

  /// Relative squared error of `trial`'s tensors on window i.
  double error(VariantTrial& trial, std::size_t i) {
    trial.q = sources_[i]->q;
    trial.k = sources_[i]->k;
    trial.v = sources_[i]->v;
    const std::vector<float> out = trial.forward();
    double distance = 0, squares = 0;
    for (std::size_t e = 0; e < out.size(); ++e) {
      distance += std::pow(double{out[e]} - outputs_[i][e], 2);
      squares += std::pow(double{outputs_[i][e]}, 2);
    }
    return distance / squares;
  }
  double mean_error(VariantTrial& trial, std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += error(trial, i);
    return sum / static_cast<double>(end - begin);
  }

  std::span<const Window> first(std::size_t count) const { return {windows_.data(), count}; }

 private:
  std::vector<std::unique_ptr<VariantTrial>> sources_;
  std::vector<std::vector<float>> outputs_;
  std::vector<Window> windows_;
};

TEST(AdditiveFitting, FindsWhatANetworkOfItsKindDoes) {
  const std::vector<Problem> problems = {
      self_problem(24, 4, 4), self_problem(24, 4, 4, true),
      Problem{.queries = 16, .keys = 30, .dim = 4, .value_dim = 5}};
  for (const Problem& problem : problems) {
    Samples samples(problem, "additive(hidden=2)", 10);
    VariantTrial trial("additive(hidden=4)", problem, 5);
    const double drawn = samples.mean_error(trial, 0, 8),
                 drawn_elsewhere = samples.mean_error(trial, 8, 10);
    trial.variant->calibrate(problem, samples.first(8), trial.tensors);
    EXPECT_LT(samples.mean_error(trial, 0, 8), 0.01 * drawn);
    EXPECT_LT(samples.mean_error(trial, 8, 10), 0.05 * drawn_elsewhere);
  }
}

TEST(AdditiveFitting, NearsDenseAttentionAndRepeatsItself) {
  const Problem problem = self_problem(24, 4, 4, true);
  Samples samples(problem, "dense", 4);
  VariantTrial trial("additive(hidden=8)", problem, 5), again("additive(hidden=8)", problem, 5);
  const double drawn = samples.mean_error(trial, 0, 4);
  trial.variant->calibrate(problem, samples.first(4), trial.tensors);
  again.variant->calibrate(problem, samples.first(4), again.tensors);
  // It attends: better than what was drawn, and than not to look at all.
  VariantTrial mean("mean", problem);
  const double blind = samples.mean_error(mean, 0, 4), fitted = samples.mean_error(trial, 0, 4);
  EXPECT_LT(fitted, 0.5 * std::min(drawn, blind));
  for (const char* name : {"w", "u", "score"}) {
    const ConstView a = trial.tensors.matrix(name), b = again.tensors.matrix(name);
    EXPECT_TRUE(std::equal(a.data, a.data + a.rows * a.cols, b.data)) << name;
  }
}

TEST(AdditiveFitting, LeavesWhatIsRightAlone) {
  const Problem problem = self_problem(20, 4, 4);
  Samples samples(problem, "additive(hidden=3)", 3);
  VariantTrial trial("additive(hidden=3)", problem, 99);
  const double drawn = samples.mean_error(trial, 0, 3);  // rounding
  trial.variant->calibrate(problem, samples.first(3), trial.tensors);
  EXPECT_LT(drawn, 1e-12);
  EXPECT_LT(samples.mean_error(trial, 0, 3), 1e-12);
}

}  // namespace
}  // namespace subquad
