#include <gtest/gtest.h>

#include "support/variant_trial.h"

namespace subquad {
namespace {

/// Replaces a tensor by numbers of standard deviation `std` around `mean`.
void draw(const VariantTrial& trial, const char* name, double mean, double std) {
  const View tensor = trial.tensors.writable(name);
  Generator random(42, static_cast<std::uint64_t>(name[0]));
  for (Index i = 0; i < tensor.rows * tensor.cols; ++i) {
    tensor.data[i] = static_cast<float>(mean + std * random.normal());
  }
}

void draw_all(const VariantTrial& trial) {
  draw(trial, "w", 0, 1 / std::sqrt(static_cast<double>(trial.problem.keys)));
  draw(trial, "b", 1, 0.5);
  draw(trial, "gain", 1, 0.3);
  draw(trial, "shift", 0, 0.3);
}

// A sum over n products of order one, of which each partial sum is rounded: the errors of n
// roundings grow as sqrt(n), and so does the sum.
constexpr double kTolerance = 16 * std::numeric_limits<float>::epsilon();

TEST(Gmlp, EqualsReference) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem :
         {self_problem(1, 3, 3, causal), self_problem(17, 8, 8, causal),
          self_problem(131, 16, 16, causal), self_problem(1201, 4, 4, causal)}) {
      for (const Index padding : {0, 3}) {
        VariantTrial trial("gmlp", problem, 2, 1, padding);
        EXPECT_LT(trial.error(), kTolerance) << problem.keys;
        draw_all(trial);
        EXPECT_LT(trial.error(), kTolerance) << problem.keys;
      }
    }
  }
}

TEST(Gmlp, AtFirstPassesTheQueries) {
  VariantTrial trial("gmlp", self_problem(100, 8, 8));
  const std::vector<float> out = trial.forward();
  // |W LN(v)| <= n (0.001 / n) sqrt(d).
  for (Index i = 0; i < 100; ++i) {
    for (Index c = 0; c < 8; ++c) {
      EXPECT_NEAR(out[i * 8 + c] / trial.q(i, c), 1, 1e-3 * std::sqrt(8.0));
    }
  }
}

TEST(Gmlp, NormsTheRowsThatItMixes) {
  // Two tokens, two columns: a row (a, b) with a > b is normed to (1, -1) but for epsilon.
  VariantTrial trial("gmlp", self_problem(2, 2, 2));
  const View w = trial.tensors.writable("w");
  w(0, 0) = 3, w(0, 1) = 5, w(1, 0) = 7, w(1, 1) = 11;
  trial.tensors.writable("b").data[1] = 0.5f;
  trial.tensors.writable("gain").data[0] = 2;
  trial.tensors.writable("shift").data[1] = 0.25f;
  trial.v(0, 0) = 40, trial.v(0, 1) = -40, trial.v(1, 0) = 100, trial.v(1, 1) = 300;
  trial.q(0, 0) = 1, trial.q(0, 1) = -1, trial.q(1, 0) = 2, trial.q(1, 1) = 10;
  const std::vector<float> out = trial.forward();
  EXPECT_NEAR(out[0], 3 * 2 + 5 * -2 + 1, 1e-4);
  EXPECT_NEAR(out[1], -(3 * -0.75 + 5 * 1.25 + 1), 1e-4);
  EXPECT_NEAR(out[2], 2 * (7 * 2 + 11 * -2 + 0.5), 1e-4);
  EXPECT_NEAR(out[3], 10 * (7 * -0.75 + 11 * 1.25 + 0.5), 1e-3);
}

TEST(Gmlp, SeesNoFuture) {
  EXPECT_EQ(rows_that_see_the_future("gmlp", self_problem(150, 6, 6, true)), 0);
  // Nor what W holds above the diagonal.
  VariantTrial trial("gmlp", self_problem(150, 6, 6, true));
  draw_all(trial);
  const std::vector<float> before = trial.forward();
  const View w = trial.tensors.writable("w");
  for (Index i = 0; i < 150; ++i) {
    for (Index j = i + 1; j < 150; ++j) w(i, j) = NAN;
  }
  EXPECT_EQ(trial.forward(), before);
}

TEST(Gmlp, RefusesCrossAttentionAndUnlikeWidths) {
  for (const Problem& problem : {Problem{.queries = 4, .keys = 8, .dim = 4, .value_dim = 4},
                                 Problem{.queries = 8, .keys = 8, .dim = 4, .value_dim = 5}}) {
    EXPECT_NE(make_variant(parse_expression("gmlp"), problem)->refuses(problem), "");
  }
}

TEST(Gmlp, DoesTheUsefulWork) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("gmlp", self_problem(100, 8, 8, causal));
    trial.forward();
    const Work useful = trial.variant->cost(trial.problem).useful;
    EXPECT_EQ(useful.multiply_adds, (causal ? 5050 : 10000) * 8 + 800);
    EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds);
    EXPECT_EQ(trial.executed.exponentials, 0);
  }
}

// ---- fitting
// -------------------------------------------------------------------------------------

/// Inputs of several windows, and a target for each.
struct Windows {
  std::vector<VariantTrial> trials;
  std::vector<std::vector<float>> targets;

  Windows(const Problem& problem, int count) {
    for (int seed = 1; seed <= count; ++seed) {
      trials.emplace_back("gmlp", problem, static_cast<std::uint64_t>(seed));
    }
  }
  void aim_at_dense() {
    targets.clear();
    for (std::size_t i = 0; i < trials.size(); ++i) {
      targets.push_back(VariantTrial("dense", trials[i].problem, i + 1).forward());
    }
  }
  std::vector<Window> views() const {
    std::vector<Window> all;
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const VariantTrial& trial = trials[i];
      const Problem& p = trial.problem;
      all.push_back({.q = trial.q.view(),
                     .k = trial.k.view(),
                     .v = trial.v.view(),
                     .x = trial.v.view(),
                     .target = {targets[i].data(), p.queries, p.value_dim}});
    }
    return all;
  }
  /// Squared distance of the outputs with one trial's tensors from the targets.
  double error(const VariantTrial& tensors) {
    double sum = 0;
    for (std::size_t i = 0; i < trials.size(); ++i) {
      for (const char* name : {"w", "b", "gain", "shift"}) {
        const View from = tensors.tensors.writable(name), to = trials[i].tensors.writable(name);
        if (from.data != to.data) std::copy_n(from.data, from.rows * from.cols, to.data);
      }
      const std::vector<float> out = trials[i].forward();
      for (std::size_t e = 0; e < out.size(); ++e) {
        sum += std::pow(double{out[e]} - targets[i][e], 2);
      }
    }
    return sum;
  }
};

void calibrate(const VariantTrial& trial, const Windows& windows) {
  trial.variant->calibrate(trial.problem, windows.views(), trial.tensors);
}

TEST(Gmlp, FindsPlantedWeightsAgain) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(20, 6, 6, causal);
    VariantTrial planted("gmlp", problem), fitted("gmlp", problem);
    draw_all(planted);
    Windows windows(problem, 12);
    windows.targets.assign(12, std::vector<float>(20 * 6));
    windows.error(planted);
    for (std::size_t i = 0; i < 12; ++i) windows.targets[i] = windows.trials[i].forward();
    for (const char* name : {"gain", "shift"}) {
      const View from = planted.tensors.writable(name), to = fitted.tensors.writable(name);
      std::copy_n(from.data, 6, to.data);
    }
    calibrate(fitted, windows);
    // 72 equations for at most 21 unknowns, and a penalty of at most 1e-6 of their mean diagonal,
    // of which the least eigenvalue is about a tenth.
    for (Index i = 0; i < 20; ++i) {
      EXPECT_NEAR(fitted.tensors.matrix("b").data[i], planted.tensors.matrix("b").data[i], 1e-4);
      for (Index j = 0; j < 20; ++j) {
        const bool seen = problem.sees(i, j);
        const float expected = seen ? planted.tensors.matrix("w")(i, j) : 0;
        EXPECT_NEAR(fitted.tensors.matrix("w")(i, j), expected, seen ? 1e-4 : 0) << i << " " << j;
      }
    }
  }
}

TEST(Gmlp, FittedWeightsAreARidgeRegression) {
  // Where error + c |W_i|^2 is least, F^T residual = c W_i for the features F of W_i and 0 for that
  // of b_i, with c the same share of every row's mean squared feature.
  for (const bool causal : {false, true}) {
    for (const int count : {1, 7}) {
      const Problem problem = self_problem(15, 6, 6, causal);
      VariantTrial fitted("gmlp", problem);
      draw(fitted, "gain", 1, 0.3);
      Windows windows(problem, count);
      windows.aim_at_dense();
      calibrate(fitted, windows);
      std::vector<double> shares;
      for (Index i = 0; i < 15; ++i) {
        const Index seen = causal ? i + 1 : 15;
        std::vector<double> along(static_cast<std::size_t>(seen) + 1);
        double diagonal = 0, size = 0;
        windows.error(fitted);
        for (std::size_t window = 0; window < windows.trials.size(); ++window) {
          VariantTrial& trial = windows.trials[window];
          const std::vector<double> out = trial.reference();
          for (Index c = 0; c < 6; ++c) {
            const double residual = windows.targets[window][i * 6 + c] - out[i * 6 + c];
            for (Index j = 0; j < seen; ++j) {
              double mean = 0, variance = 0;
              for (Index h = 0; h < 6; ++h) mean += double{trial.v(j, h)} / 6;
              for (Index h = 0; h < 6; ++h) variance += std::pow(trial.v(j, h) - mean, 2) / 6;
              const double feature = trial.q(i, c) * trial.tensors.matrix("gain").data[c] *
                                     (trial.v(j, c) - mean) / std::sqrt(variance + 1e-5);
              along[j] += feature * residual;
              diagonal += feature * feature / static_cast<double>(seen);
            }
            along[seen] += trial.q(i, c) * residual;
          }
        }
        double product = 0;
        for (Index j = 0; j < seen; ++j) {
          size += std::pow(fitted.tensors.matrix("w")(i, j), 2);
          product += along[j] * fitted.tensors.matrix("w")(i, j);
        }
        const double c = product / size;
        shares.push_back(c / diagonal);
        // Weights are rounded to float, and come back times the normal matrix.
        const double rounding = 1e-6 * diagonal * static_cast<double>(seen);
        for (Index j = 0; j < seen; ++j) {
          EXPECT_NEAR(along[j], c * fitted.tensors.matrix("w")(i, j), rounding);
        }
        EXPECT_NEAR(along[seen], 0, rounding);
      }
      for (const double share : shares) {
        EXPECT_GT(share, 0);
        EXPECT_NEAR(share / shares[0], 1, 0.02);
      }
    }
  }
}

TEST(Gmlp, FittingBringsOutputsNearerToDense) {
  for (const bool causal : {false, true}) {
    for (const int count : {1, 2, 8}) {
      for (const Index n : {1, 2, 30}) {
        const Problem problem = self_problem(n, 8, 8, causal);
        VariantTrial drawn("gmlp", problem), fitted("gmlp", problem);
        Windows windows(problem, count);
        windows.aim_at_dense();
        calibrate(fitted, windows);
        EXPECT_LT(windows.error(fitted), windows.error(drawn)) << n << " " << count;
      }
    }
  }
}

TEST(Gmlp, FittingLeavesRowsWithoutQueriesAlone) {
  for (const Index dim : {1, 4}) {  // the layer norm of one column is its shift
    VariantTrial trial("gmlp", self_problem(5, dim, dim));
    Windows windows(trial.problem, 3);
    windows.aim_at_dense();
    for (VariantTrial& one : windows.trials) {
      for (Index c = 0; c < dim; ++c) one.q(2, c) = 0;
    }
    const std::vector<float> before(trial.tensors.matrix("w").row(2),
                                    trial.tensors.matrix("w").row(2) + 5);
    calibrate(trial, windows);
    const ConstView w = trial.tensors.matrix("w");
    EXPECT_TRUE(std::equal(before.begin(), before.end(), w.row(2)));
    EXPECT_EQ(trial.tensors.matrix("b").data[2], 1);
    for (Index i = 0; i < 25; ++i) EXPECT_TRUE(std::isfinite(w.data[i]));
    for (Index i = 0; i < 5; ++i) EXPECT_TRUE(std::isfinite(trial.tensors.matrix("b").data[i]));
  }
}

TEST(Gmlp, SaysWhatIsFitted) {
  struct Names final : TensorVisitor {
    std::vector<std::string> fitted;
    void declare(TensorDeclaration declaration) override {
      if (declaration.is_fitted()) fitted.push_back(declaration.name);
    }
  } names;
  const Problem problem = self_problem(5, 4, 4);
  make_variant(parse_expression("gmlp"), problem)->tensors(problem, names);
  EXPECT_EQ(names.fitted, (std::vector<std::string>{"w", "b"}));
}

}  // namespace
}  // namespace subquad
