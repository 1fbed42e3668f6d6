#include "kernels/calibration.h"

#include <gtest/gtest.h>

#include <Eigen/LU>
#include <Eigen/SVD>
#include <cmath>

#include "support/fitting.h"

namespace subquad {
namespace {

using Matrix = RowMajor<double>;

Matrix random_matrix(Index rows, Index cols, std::uint64_t seed = 3) {
  Generator random(seed, 99);
  return Matrix::NullaryExpr(rows, cols, [&] { return random.normal(); });
}

/// Windows whose target is A V, to float precision.
std::vector<OwnedWindow> planted_windows(const Problem& problem, Index count, const Matrix& a) {
  return random_windows(problem, count, 1, [&](const OwnedWindow& window) -> Matrix {
    return a * window.v.cast<double>();
  });
}

/// A with what the mask hides set to 0.
Matrix masked(const Problem& problem, Matrix a) {
  for (Index i = 0; i < a.rows(); ++i) {
    for (Index j = 0; j < a.cols(); ++j) a(i, j) = problem.sees(i, j) ? a(i, j) : 0;
  }
  return a;
}

TEST(Calibration, MeanAttentionIsTheMeanOfDensesWeights) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(23, 5, 4, causal);
    VariantTrial a("dense", problem, 1), b("dense", problem, 2);
    const std::vector<double> first = a.weights(), second = b.weights();
    const Matrix mean = mean_attention(problem, std::vector<Window>{window_of(a), window_of(b)});
    for (Index i = 0; i < 23; ++i) {
      EXPECT_NEAR(mean.row(i).sum(), 1, 1e-14);
      EXPECT_TRUE(!causal || mean.row(i).tail(22 - i).isZero(0));
      for (Index j = 0; j < 23; ++j) {
        EXPECT_NEAR(mean(i, j), (first[i * 23 + j] + second[i * 23 + j]) / 2, 1e-14);
      }
    }
  }
}

TEST(Calibration, MeanAttentionStandsLargeScores) {
  VariantTrial trial("dense", self_problem(9, 3, 2), 1, 300);
  const Matrix mean = mean_attention(trial.problem, std::vector<Window>{window_of(trial)});
  EXPECT_TRUE(mean.allFinite());
  EXPECT_NEAR(mean.sum(), 9, 1e-12);
}

TEST(Calibration, PlantedMatricesAreFound) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(20, 4, 6, causal);
    const Matrix a = masked(problem, random_matrix(20, 20));
    // 60 columns for 20 unknowns of each row.
    const std::vector<OwnedWindow> windows = planted_windows(problem, 10, a);
    const Moments sums = moments(problem, views(windows), &Window::v);
    const Matrix found = ridge(problem, sums, Matrix::Zero(20, 20), 1e-10);
    // Targets are floats.
    EXPECT_LT((found - a).cwiseAbs().maxCoeff(), 1e-5) << causal;
    if (!causal) {
      const Matrix least = minimum_norm(problem, views(windows), &Window::v);
      EXPECT_LT((least - a).cwiseAbs().maxCoeff(), 1e-5);
    }
  }
}

TEST(Calibration, RidgeSolvesItsNormalEquations) {
  for (const Problem& problem : {self_problem(17, 4, 3), self_problem(17, 4, 3, true),
                                 Problem{.queries = 5, .keys = 17, .dim = 4, .value_dim = 3},
                                 Problem{.queries = 5,
                                 .keys = 17,
                                 .dim = 4,
                                 .value_dim = 3,
                                 .causal = true,
                                 .first_query = 9}}) {
    const std::vector<OwnedWindow> windows = random_windows(problem, 4);
    const Moments sums = moments(problem, views(windows), &Window::v);
    const Matrix prior = mean_attention(problem, views(windows));
    for (const double penalty : {0.01, 1.0, 100.0}) {
      const Matrix a = ridge(problem, sums, prior, penalty);
      // Half the gradient: zero wherever A has an element that may move.
      const double weight = penalty * sums.mean_diagonal();
      const Matrix gradient = a * sums.gram - sums.cross + weight * (a - prior);
      for (Index i = 0; i < problem.queries; ++i) {
        for (Index j = 0; j < problem.keys; ++j) {
          if (problem.sees(i, j)) {
            EXPECT_NEAR(gradient(i, j), 0, 1e-11 * (weight + sums.gram.trace()));
          } else {
            EXPECT_EQ(a(i, j), 0);
          }
        }
      }
    }
  }
}

TEST(Calibration, WithoutInputThePriorStays) {
  const Problem problem = self_problem(6, 2, 3);
  std::vector<OwnedWindow> windows = random_windows(problem, 1);
  windows[0].v.setZero();
  const Moments sums = moments(problem, views(windows), &Window::v);
  const Matrix prior = random_matrix(6, 6);
  EXPECT_EQ(ridge(problem, sums, prior, 1), prior);
  const Sandwich nothing{random_matrix(6, 2), Matrix::Zero(6, 3), random_matrix(6, 3)};
  EXPECT_EQ(sandwich_ridge({&nothing, 1}, prior.topRows(2), 1), prior.topRows(2));
}

TEST(Calibration, MinimumNormFitsAndStaysInTheSpaceOfItsInputs) {
  // 8 columns for 20 unknowns, two of them the same.
  const Problem problem = self_problem(20, 4, 4);
  std::vector<OwnedWindow> windows = random_windows(problem, 2);
  windows[1].v.col(3) = windows[0].v.col(0);
  windows[1].target.col(3) = windows[0].target.col(0);
  const Matrix a = minimum_norm(problem, views(windows), &Window::v);
  EXPECT_LT(squared_error(a, views(windows), &Window::v), 1e-10);
  Eigen::MatrixXd inputs(20, 8);
  inputs << windows[0].v.cast<double>(), windows[1].v.cast<double>();
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(inputs, Eigen::ComputeFullU);
  // What is orthogonal to all seven directions must be sent to zero, or the norm were not least.
  EXPECT_LT((a * svd.matrixU().rightCols(13)).cwiseAbs().maxCoeff(), 1e-10);
  // And a vanishing penalty about zero ends there too.
  const Moments sums = moments(problem, views(windows), &Window::v);
  const Matrix limit = ridge(problem, sums, Matrix::Zero(20, 20), 1e-10);
  EXPECT_LT((limit - a).cwiseAbs().maxCoeff(), 1e-5);
}

TEST(Calibration, LeavingOutAWindowTellsNoiseFromAMatrix) {
  const Problem problem = self_problem(12, 4, 8);
  const std::vector<OwnedWindow> clear = planted_windows(problem, 6, random_matrix(12, 12));
  const ConstantFit fit = ridge_about_mean_attention(problem, views(clear), &Window::v);
  EXPECT_EQ(fit.penalty, 0.001);
  EXPECT_LT(squared_error(fit.matrix, views(clear), &Window::v),
            1e-4 * squared_error(Matrix::Zero(12, 12), views(clear), &Window::v));

  // Where the mean attention matrix is all that there is to know, noise must not move it.
  Generator random(8);
  std::vector<OwnedWindow> noise = random_windows(problem, 6, 2);
  for (OwnedWindow& window : noise) {
    window.q.setZero();
    window.target = window.v.colwise().mean().replicate(12, 1).unaryExpr(
        [&](float mean) { return mean + static_cast<float>(random.normal()); });
  }
  EXPECT_EQ(ridge_about_mean_attention(problem, views(noise), &Window::v).penalty, 100);
}

TEST(Calibration, BestPenaltyAsksForEveryWindowOnce) {
  const Problem problem = self_problem(3, 2, 2);
  const std::vector<OwnedWindow> owned = random_windows(problem, 3);
  const std::vector<Window> windows = views(owned);
  const double penalties[] = {1, 2, 4};
  std::vector<const float*> left_out;
  const auto errors = [&](std::span<const Window> others, const Window& window) {
    EXPECT_EQ(others.size(), 2u);
    for (const Window& other : others) EXPECT_NE(other.q.data, window.q.data);
    left_out.push_back(window.q.data);
    // The middle one is best for none and for the sum.
    const bool even = left_out.size() % 2 == 0;
    return std::vector<double>{even ? 9.0 : 2.0, 3.0, even ? 1.0 : 5.0};
  };
  EXPECT_EQ(best_penalty(windows, penalties, errors), 2);
  ASSERT_EQ(left_out.size(), 3u);
  for (std::size_t w = 0; w < 3; ++w) EXPECT_EQ(left_out[w], windows[w].q.data);
  EXPECT_EQ(best_penalty({windows.data(), 1}, penalties, errors), 4);
  EXPECT_EQ(left_out.size(), 3u);
}

TEST(Calibration, NearestOfRankIsEckartYoungForWhiteInputs) {
  const Matrix a = random_matrix(9, 7);
  const Moments white{.gram = Matrix::Identity(7, 7), .cross = Matrix::Zero(9, 7)};
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(a);
  for (const Index rank : {1, 3, 7, 8}) {
    const Factors factors = nearest_of_rank(a, white, 0.5, rank);
    EXPECT_EQ(factors.left.cols(), rank);
    double dropped = 0;
    for (Index i = rank; i < 7; ++i) dropped += svd.singularValues()[i] * svd.singularValues()[i];
    EXPECT_NEAR((a - factors.left * factors.right).squaredNorm(), dropped, 1e-12);
  }
}

TEST(Calibration, NoDescentFindsANearerProductOfThatRank) {
  const Matrix a = random_matrix(6, 6), x = random_matrix(6, 9, 4) * 2;
  const Moments sums{.gram = x * x.transpose(), .cross = Matrix::Zero(6, 6)};
  const double penalty = 0.1;
  const Matrix metric = sums.gram + penalty * sums.mean_diagonal() * Matrix::Identity(6, 6);
  const auto distance = [&](const Matrix& left, const Matrix& right) {
    const Matrix rest = a - left * right;
    return (rest * metric * rest.transpose()).trace();
  };
  const Factors found = nearest_of_rank(a, sums, penalty, 2);
  const double least = distance(found.left, found.right);
  double reached = 1e30;
  for (std::uint64_t start = 1; start <= 5; ++start) {
    Matrix left, right = random_matrix(2, 6, start + 10);
    // Each factor in turn the best one given the other.
    for (int step = 0; step < 500; ++step) {
      left = a * metric * right.transpose() * (right * metric * right.transpose()).inverse();
      right = (left.transpose() * left).inverse() * left.transpose() * a;
    }
    EXPECT_GT(distance(left, right), least * (1 - 1e-9));
    reached = std::min(reached, distance(left, right));
  }
  EXPECT_NEAR(reached, least, 1e-6 * least);
  EXPECT_LT((a - found.left * found.right).norm(), a.norm());
}

TEST(Calibration, SandwichRidgeSolvesItsNormalEquations) {
  std::vector<Sandwich> windows;
  for (std::uint64_t w = 0; w < 3; ++w) {
    windows.push_back({random_matrix(11, 4, 3 * w + 20), random_matrix(7, 2, 3 * w + 21),
                       random_matrix(11, 2, 3 * w + 22)});
  }
  const Matrix prior = random_matrix(4, 7);
  for (const double penalty : {0.001, 1.0, 100.0}) {
    const Matrix f = sandwich_ridge(windows, prior, penalty);
    // The matrix of all 28 unknowns, column by column of the unknown, and its mean diagonal.
    Matrix equations = Matrix::Zero(28, 28);
    Eigen::VectorXd right = Eigen::VectorXd::Zero(28);
    for (const Sandwich& window : windows) {
      for (Index m = 0; m < 28; ++m) {
        Matrix unit = Matrix::Zero(4, 7);
        unit(m / 7, m % 7) = 1;
        const Matrix image = window.left.transpose() * (window.left * unit * window.right) *
                             window.right.transpose();
        equations.col(m) += Eigen::Map<const Eigen::VectorXd>(image.data(), 28);
      }
      const Matrix seen = window.left.transpose() * window.target * window.right.transpose();
      right += Eigen::Map<const Eigen::VectorXd>(seen.data(), 28);
    }
    const double weight = penalty * equations.trace() / 28;
    equations += weight * Matrix::Identity(28, 28);
    right += weight * Eigen::Map<const Eigen::VectorXd>(prior.data(), 28);
    const Eigen::VectorXd expected = equations.lu().solve(right);
    for (Index m = 0; m < 28; ++m) {
      // The residual is 1e-10 of the right side; the matrix's smallest eigenvalue is the weight.
      EXPECT_NEAR(f(m / 7, m % 7), expected[m], 1e-10 * right.norm() / weight + 1e-12);
    }
  }
}

}  // namespace
}  // namespace subquad
