#include <gtest/gtest.h>

#include <cmath>

#include "inputs/input.h"
#include "subquad/eigen.h"

namespace subquad {
namespace {

using Matrix = RowMajor<double>;

InputRequest sized(Index n, Index dim) {
  return {.queries = n, .keys = n, .dim = dim, .value_dim = dim, .seed = 3};
}

Matrix to_double(ConstView view) { return as_eigen(view).cast<double>(); }

TEST(Duplication, TokensSeekTheirDouble) {
  const LayerInput input = make_input(parse_expression("duplication(noise=0)"), sized(400, 64));
  const Matrix scores =
      to_double(input.q_of(0, 0)) * to_double(input.k_of(0, 0)).transpose() / std::sqrt(64.0);
  const Matrix q = to_double(input.q_of(0, 0)).rowwise().normalized();
  // Exponentials do not overflow: scores are at most 20.
  const Matrix weights = scores.array().exp();
  for (Index i = 0; i < 400; ++i) {
    const Index other = (i + 200) % 400;
    EXPECT_NEAR(scores(i, other), 20, 1e-4);
    EXPECT_NEAR(scores(i, i), 16, 1e-4);
    EXPECT_NEAR(q.row(i).dot(q.row(other)), 0.8, 1e-5);
    EXPECT_GT(weights(i, other), 0.9 * weights.row(i).sum());
  }
  // Other tokens' codes are random: cosines of standard deviation 1 / 8.
  const Matrix cosines = q.topRows(200) * q.topRows(200).transpose();
  EXPECT_NEAR(cosines.squaredNorm() / 200 - 1, 199 / 64.0, 0.5);
  const Matrix v = to_double(input.v_of(0, 0));
  EXPECT_NEAR(std::sqrt(v.array().square().mean()), 1, 0.03);
  EXPECT_NEAR(v.topRows(200).cwiseProduct(v.bottomRows(200)).mean(), 0, 0.05);
}

TEST(Duplication, OfAnOddNumberOneIsLeftAlone) {
  const LayerInput input =
      make_input(parse_expression("duplication(noise=0,sharpness=8)"), sized(7, 16));
  const Matrix scores = to_double(input.q_of(0, 0)) * to_double(input.k_of(0, 0)).transpose() / 4;
  for (Index i = 0; i < 7; ++i) EXPECT_NEAR(scores(i, i == 6 ? 6 : (i + 3) % 6), 8, 1e-5) << i;
  // More queries than keys go round.
  const LayerInput cross =
      make_input(parse_expression("duplication(noise=0)"), {.queries = 15, .keys = 7, .dim = 16});
  EXPECT_EQ(to_double(cross.q_of(0, 0)).row(2), to_double(cross.q_of(0, 0)).row(9));
}

}  // namespace
}  // namespace subquad
