#include "kernels/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/variant_trial.h"

namespace subquad {
namespace {

Window window_of(const VariantTrial& trial) {
  return {.q = trial.q.view(), .k = trial.k.view(), .v = trial.v.view(), .x = {}, .target = {}};
}

TEST(Calibration, MeanAttentionIsTheMeanOfDensesWeights) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(23, 5, 4, causal);
    VariantTrial a("dense", problem, 1), b("dense", problem, 2);
    const std::vector<double> first = a.weights(), second = b.weights();
    const RowMajor<double> mean =
        mean_attention(problem, std::vector<Window>{window_of(a), window_of(b)});
    for (Index i = 0; i < 23; ++i) {
      EXPECT_NEAR(mean.row(i).sum(), 1, 1e-14);
      for (Index j = 0; j < 23; ++j) {
        EXPECT_NEAR(mean(i, j), (first[i * 23 + j] + second[i * 23 + j]) / 2, 1e-14);
      }
    }
  }
}

TEST(Calibration, MeanAttentionStandsLargeScores) {
  VariantTrial trial("dense", self_problem(9, 3, 2), 1, 300);
  const RowMajor<double> mean =
      mean_attention(trial.problem, std::vector<Window>{window_of(trial)});
  EXPECT_TRUE(mean.allFinite());
  EXPECT_NEAR(mean.sum(), 9, 1e-12);
}

}  // namespace
}  // namespace subquad
