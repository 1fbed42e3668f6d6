#include "kernels/additive_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "subquad/random.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr Index kHidden = 5;

/// Two windows of noise, their targets too.
class Samples {
 public:
  explicit Samples(const Problem& problem) {
    for (int i = 0; i < 2; ++i) {
      const ConstView q = draw(problem.queries, problem.dim);
      const ConstView k = draw(problem.keys, problem.dim);
      const ConstView v = draw(problem.keys, problem.value_dim);
      const ConstView target = draw(problem.queries, problem.value_dim);
      windows.push_back({.q = q, .k = k, .v = v, .x = v, .target = target});
    }
  }
  std::vector<double> parameters(Index count) {
    std::vector<double> at(static_cast<std::size_t>(count));
    for (double& value : at) value = 0.5 * random_.normal();
    return at;
  }
  std::vector<Window> windows;

 private:
  ConstView draw(Index rows, Index cols) {
    std::vector<float>& values = memory_.emplace_back(static_cast<std::size_t>(rows * cols));
    random_.normals(values);
    return {values.data(), rows, cols};
  }
  Generator random_{7};
  std::vector<std::vector<float>> memory_;
};

/// The definition by loops.
double by_loops(const Problem& p, const std::vector<Window>& windows, const double* at) {
  const double *w = at, *u = w + kHidden * p.dim, *score = u + kHidden * p.dim;
  double distance = 0, squares = 0;
  for (const Window& window : windows) {
    for (Index i = 0; i < p.queries; ++i) {
      std::vector<double> out(static_cast<std::size_t>(p.value_dim));
      double sum = 0;
      for (Index j = 0; j < p.keys; ++j) {
        if (p.causal && j > i + p.first_query) continue;
        double scored = 0;
        for (Index h = 0; h < kHidden; ++h) {
          double unit = 0;
          for (Index c = 0; c < p.dim; ++c) {
            unit += w[h * p.dim + c] * window.q(i, c) + u[h * p.dim + c] * window.k(j, c);
          }
          scored += score[h] * std::tanh(unit);
        }
        sum += std::exp(scored);
        for (Index c = 0; c < p.value_dim; ++c) out[c] += std::exp(scored) * window.v(j, c);
      }
      for (Index c = 0; c < p.value_dim; ++c) {
        distance += std::pow((sum > 0 ? out[c] / sum : 0) - window.target(i, c), 2);
        squares += std::pow(window.target(i, c), 2);
      }
    }
  }
  return distance / squares;
}

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {
      self_problem(9, 4, 3), self_problem(9, 4, 4, true),
      Problem{.queries = 3, .keys = 11, .dim = 2, .value_dim = 6},
      Problem{.queries = 4, .keys = 9, .dim = 3, .value_dim = 2, .causal = true, .first_query = 5},
      // The first queries see no key.
      Problem{
          .queries = 6, .keys = 9, .dim = 3, .value_dim = 2, .causal = true, .first_query = -2}};
  return all;
}

TEST(AdditiveError, IsTheDefinition) {
  for (const Problem& problem : problems()) {
    Samples samples(problem);
    const std::vector<double> at = samples.parameters(kHidden * (2 * problem.dim + 1));
    std::vector<double> gradient(at.size());
    const double exact = by_loops(problem, samples.windows, at.data());
    EXPECT_NEAR(AdditiveError(problem, kHidden, samples.windows)(at, gradient), exact,
                1e-13 * exact);
  }
}

TEST(AdditiveError, GradientIsThatOfFiniteDifferences) {
  for (const Problem& problem : problems()) {
    Samples samples(problem);
    const AdditiveError error(problem, kHidden, samples.windows);
    std::vector<double> at = samples.parameters(kHidden * (2 * problem.dim + 1));
    std::vector<double> gradient(at.size()), ignored(at.size());
    error(at, gradient);
    for (std::size_t i = 0; i < at.size(); ++i) {
      // Central: off by h^2 / 6 of the third derivative, and rounding / h.
      constexpr double kStep = 1e-5;
      const double middle = at[i];
      at[i] = middle + kStep;
      const double above = error(at, ignored);
      at[i] = middle - kStep;
      const double below = error(at, ignored);
      at[i] = middle;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep), 1e-9) << "parameter " << i;
    }
  }
}

}  // namespace
}  // namespace subquad
