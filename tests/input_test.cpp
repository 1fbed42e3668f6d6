#include "inputs/input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <set>

#include "inputs/text.h"
#include "subquad/eigen.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;
using Matrix = RowMajor<double>;

constexpr InputRequest kRequest = {.batch = 2,
                                   .heads = 4,
                                   .key_heads = 4,
                                   .queries = 300,
                                   .keys = 300,
                                   .dim = 24,
                                   .value_dim = 10,
                                   .seed = 5};

LayerInput make(std::string_view expression, const InputRequest& request = kRequest) {
  return make_input(parse_expression(expression), request);
}

InputRequest sized(Index n, Index dim) {
  return {.queries = n, .keys = n, .dim = dim, .value_dim = dim, .seed = 3};
}

Matrix to_double(ConstView view) { return as_eigen(view).cast<double>(); }

/// Attention weights of one head, computed here and in double.
Matrix weights_of(const LayerInput& input, Index sequence = 0, Index head = 0) {
  const Matrix scores = to_double(input.q_of(sequence, head)) *
                        to_double(input.k_of(sequence, head)).transpose() /
                        std::sqrt(static_cast<double>(input.dim));
  // Into vectors: as expressions they would be computed anew for every element.
  const Eigen::VectorXd largest = scores.rowwise().maxCoeff();
  const Matrix weights = (scores.colwise() - largest).array().exp();
  const Eigen::VectorXd sums = weights.rowwise().sum();
  return sums.cwiseInverse().asDiagonal() * weights;
}

/// In falling order, from the eigenvalues of the small Gram matrix: Eigen's SVD takes half a minute
/// to compile. Resolves down to about 1e-8 of the largest.
Eigen::VectorXd singular_values(const Matrix& matrix) {
  const Eigen::MatrixXd gram = matrix.transpose() * matrix;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram, Eigen::EigenvaluesOnly);
  return solver.eigenvalues().cwiseMax(0).cwiseSqrt().reverse();
}

double std_of(const Matrix& values) {
  return std::sqrt((values.array() - values.mean()).square().mean());
}

std::string error_of(std::string_view expression, const InputRequest& request = kRequest) {
  try {
    make(expression, request);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<std::string> generator_names() {
  std::vector<std::string> names;
  for (const InputInfo& info : input_infos()) {
    if (info.name != "file" && !gives_text(parse_expression(info.name))) {
      names.push_back(info.name);
    }
  }
  return names;
}

class GeneratorTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GeneratorTest, FillsWhatIsAskedWithFiniteNumbers) {
  const LayerInput input = make(GetParam());
  EXPECT_EQ(input.q.size(), 2u * 4 * 300 * 24);
  EXPECT_EQ(input.k.size(), 2u * 4 * 300 * 24);
  EXPECT_EQ(input.v.size(), 2u * 4 * 300 * 10);
  for (const auto* tensor : {&input.q, &input.k, &input.v}) {
    EXPECT_TRUE(std::ranges::all_of(*tensor, [](float x) { return std::isfinite(x); }));
    // Drawn, not left at zero: no more than a handful of equal numbers.
    EXPECT_GT(std::set<float>(tensor->begin(), tensor->end()).size(), tensor->size() * 9 / 10);
  }
  EXPECT_TRUE(input.x.empty() && input.lengths.empty() && !input.causal_regime);
  EXPECT_THAT(input.provenance, HasSubstr(GetParam() + "("));
}

TEST_P(GeneratorTest, SameSeedSameBitsOtherSeedOtherBits) {
  const LayerInput first = make(GetParam()), second = make(GetParam());
  EXPECT_EQ(first.q, second.q);
  EXPECT_EQ(first.k, second.k);
  EXPECT_EQ(first.v, second.v);
  InputRequest other = kRequest;
  other.seed = 6;
  EXPECT_NE(first.q, make(GetParam(), other).q);
  EXPECT_NE(first.k, make(GetParam(), other).k);
  EXPECT_NE(first.v, make(GetParam(), other).v);
}

TEST_P(GeneratorTest, AHeadDoesNotDependOnHowManyAreAsked) {
  InputRequest fewer = kRequest;
  fewer.batch = 1;
  fewer.heads = fewer.key_heads = 2;
  const LayerInput all = make(GetParam()), part = make(GetParam(), fewer);
  for (Index head = 0; head < 2; ++head) {
    EXPECT_EQ(to_double(all.q_of(0, head)), to_double(part.q_of(0, head)));
    EXPECT_EQ(to_double(all.k_of(0, head)), to_double(part.k_of(0, head)));
    EXPECT_EQ(to_double(all.v_of(0, head)), to_double(part.v_of(0, head)));
  }
  EXPECT_NE(to_double(all.q_of(0, 0)), to_double(all.q_of(0, 1)));
  EXPECT_NE(to_double(all.k_of(0, 0)), to_double(all.k_of(0, 1)));
  EXPECT_NE(to_double(all.k_of(0, 0)), to_double(all.k_of(1, 0)));
  EXPECT_NE(to_double(all.v_of(0, 1)), to_double(all.v_of(1, 0)));
}

TEST_P(GeneratorTest, FewerQueriesAreTheLastOnes) {
  InputRequest last = kRequest;
  last.queries = 7;
  const LayerInput all = make(GetParam()), part = make(GetParam(), last);
  EXPECT_EQ(part.k, all.k);
  const Matrix seven = to_double(part.q_of(1, 2));
  const Matrix last_seven = to_double(all.q_of(1, 2).row_range(293, 7));
  if (GetParam() == "alignment") {
    EXPECT_NE(seven, last_seven);  // its queries are tokens of another sequence, all of it
  } else {
    EXPECT_EQ(seven, last_seven);
  }
}

TEST_P(GeneratorTest, MoreQueriesThanKeysAreFilledToo) {
  InputRequest cross = kRequest;
  cross.queries = 310;
  cross.keys = 30;
  const LayerInput input = make(GetParam(), cross);
  const Matrix q = to_double(input.q_of(1, 3));
  EXPECT_EQ(q.rows(), 310);
  EXPECT_TRUE(q.allFinite());
  EXPECT_GT(q.row(309).norm(), 0);
}

TEST_P(GeneratorTest, QueryHeadsShareTheirGroupsKeys) {
  InputRequest grouped = kRequest;
  grouped.key_heads = 2;
  const LayerInput input = make(GetParam(), grouped);
  EXPECT_EQ(input.k.size(), 2u * 2 * 300 * 24);
  EXPECT_EQ(input.k_of(1, 0).data, input.k_of(1, 1).data);
  EXPECT_EQ(input.v_of(1, 2).data, input.v_of(1, 3).data);
  EXPECT_NE(input.k_of(1, 1).data, input.k_of(1, 2).data);
  EXPECT_EQ(input.k_of(1, 2).data, input.k.data() + 3 * 300 * 24);
  EXPECT_NE(to_double(input.q_of(1, 0)), to_double(input.q_of(1, 1)));
}

TEST_P(GeneratorTest, OneTokenOfOneDimension) {
  const LayerInput input = make(GetParam(), sized(1, 1));
  EXPECT_EQ(input.q.size(), 1u);
  EXPECT_TRUE(std::isfinite(input.q[0]) && std::isfinite(input.k[0]) && std::isfinite(input.v[0]));
}

INSTANTIATE_TEST_SUITE_P(All, GeneratorTest, ::testing::ValuesIn(generator_names()),
                         [](const auto& info) { return info.param; });

TEST(Inputs, StandardDeviationScalesTheSameDraw) {
  const LayerInput input = make("gaussian", sized(2, 2));
  const LayerInput doubled = make("gaussian(std=2)", sized(2, 2));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(doubled.q[i], 2 * input.q[i]);
  EXPECT_EQ(doubled.v, input.v);
}

TEST(Inputs, GaussianHasTheMomentsThatItNames) {
  const LayerInput input = make("gaussian(std=1.5)", sized(2000, 20));
  // Five standard errors of the deviation and of the mean of 40000 numbers.
  for (const auto& [view, std] :
       {std::pair{input.q_of(0, 0), 1.5}, std::pair{input.k_of(0, 0), 1.5},
        std::pair{input.v_of(0, 0), 1.0}}) {
    const Matrix values = to_double(view);
    EXPECT_NEAR(std_of(values), std, 5 * std / std::sqrt(2.0 * 40000));
    EXPECT_NEAR(values.mean(), 0, 5 * std / std::sqrt(40000.0));
  }
  const double cross =
      (to_double(input.q_of(0, 0)).array() * to_double(input.k_of(0, 0)).array()).mean();
  EXPECT_NEAR(cross, 0, 5 * 2.25 / std::sqrt(40000.0));
}

TEST(Inputs, ClusteredKeysAttractTheQueriesOfTheirCluster) {
  // With spread 0 a cluster is one point: there are as many different rows as clusters.
  const LayerInput points = make("clustered(clusters=5,spread=0)", sized(400, 16));
  std::set<std::vector<float>> distinct;
  for (const auto* tensor : {&points.q, &points.k}) {
    for (Index i = 0; i < 400; ++i) {
      distinct.emplace(tensor->begin() + i * 16, tensor->begin() + (i + 1) * 16);
    }
  }
  EXPECT_EQ(distinct.size(), 5u);

  const LayerInput input = make("clustered(clusters=8,spread=0,margin=6)", sized(800, 64));
  const Matrix scores =
      to_double(input.q_of(0, 0)) * to_double(input.k_of(0, 0)).transpose() / std::sqrt(64.0);
  const ConstView q = input.q_of(0, 0), k = input.k_of(0, 0);
  double own = 0, count = 0;
  for (Index i = 0; i < 800; ++i) {
    for (Index j = 0; j < 800; ++j) {
      if (!std::equal(q.row(i), q.row(i) + 64, k.row(j))) continue;  // another cluster
      own += scores(i, j);
      ++count;
    }
  }
  // The margin is 6 |centre|^2 / 64 per cluster: mean over 8 centres of chi-square with 64 degrees
  // of freedom, clusters weighted about equally. Five standard errors: 6 sqrt(2 / (64 * 8)) * 5.
  EXPECT_NEAR(own / count, 6, 1.9);
}

TEST(Inputs, LowRankIsOfThatRankUpToItsNoise) {
  const LayerInput input = make("low_rank(rank=5,noise=0)", sized(200, 32));
  for (const ConstView view : {input.q_of(0, 0), input.k_of(0, 0), input.v_of(0, 0)}) {
    const Eigen::VectorXd values = singular_values(to_double(view));
    EXPECT_GT(values(4), 1);
    EXPECT_LT(values(5), 1e-4);  // float32 rounding of rows of norm about 6
  }
  // Queries and keys vary in the same directions: side by side they have no higher rank.
  Matrix both(400, 32);
  both << to_double(input.q_of(0, 0)), to_double(input.k_of(0, 0));
  EXPECT_LT(singular_values(both)(5), 1e-4);

  const LayerInput noisy = make("low_rank(rank=5,noise=0.1)", sized(200, 32));
  const Eigen::VectorXd values = singular_values(to_double(noisy.q_of(0, 0)));
  // Largest singular value of the noise alone is about 0.1 (sqrt(200) + sqrt(32)) = 2.
  EXPECT_GT(values(5), 0.5);
  EXPECT_LT(values(5), 2.5);
}

TEST(Inputs, SmoothRowsAreCorrelatedAsDeclared) {
  const LayerInput input = make("smooth(correlation=0.9,shared=0.5,margin=4)", sized(4000, 64));
  const auto correlation = [](const Matrix& a, const Matrix& b) {
    return a.cwiseProduct(b).mean() / std::sqrt(a.cwiseAbs2().mean() * b.cwiseAbs2().mean());
  };
  // 64 columns of about 4000 / 19 independent stretches each: standard error about 0.009.
  for (const ConstView view : {input.q_of(0, 0), input.k_of(0, 0), input.v_of(0, 0)}) {
    const Matrix rows = to_double(view);
    EXPECT_NEAR(correlation(rows.topRows(3999), rows.bottomRows(3999)), 0.9, 0.02);
    EXPECT_NEAR(correlation(rows.topRows(3990), rows.bottomRows(3990)), std::pow(0.9, 10), 0.04);
  }
  const Matrix q = to_double(input.q_of(0, 0)), k = to_double(input.k_of(0, 0));
  EXPECT_NEAR(correlation(q, k), 0.5, 0.04);
  EXPECT_NEAR(correlation(q, to_double(input.v_of(0, 0))), 0, 0.04);
  EXPECT_NEAR(q.cwiseProduct(k).rowwise().sum().mean() / 8, 4, 0.3);  // the margin
  EXPECT_NEAR(std_of(to_double(input.v_of(0, 0))), 1, 0.04);
}

TEST(Inputs, SinksTakeTheDeclaredMassAtEveryLength) {
  for (const Index n : {200, 1500}) {
    const LayerInput input = make("sinks(tokens=4,strength=2)", sized(n, 32));
    const Matrix weights = weights_of(input);
    const double mass = weights.leftCols(4).rowwise().sum().mean();
    // exp(2) : 1 is 0.88. Four sinks only: their sum varies with the query, hence the width.
    EXPECT_NEAR(mass, 0.86, 0.05) << n;
    const Matrix v = to_double(input.v_of(0, 0));
    EXPECT_LT(std_of(v.topRows(4)), 0.1);
    EXPECT_NEAR(std_of(v.bottomRows(n - 4)), 1, 0.06);
  }
  // A strength far below zero turns them into keys that nobody looks at.
  const Matrix repelled = weights_of(make("sinks(tokens=4,strength=-30)", sized(200, 32)));
  EXPECT_LT(repelled.leftCols(4).maxCoeff(), 1e-6);
}

TEST(Inputs, NeedleIsFoundAndMissingItIsSeen) {
  const LayerInput input = make("needle", sized(600, 64));
  const Matrix weights = weights_of(input);
  const Matrix v = to_double(input.v_of(0, 0));
  double heaviest = 0, mass = 0;
  Matrix without = weights;
  std::set<Index> needles;
  for (Index i = 0; i < 600; ++i) {
    Index needle = 0;
    const double weight = weights.row(i).maxCoeff(&needle);
    heaviest += weight > 0.5;
    mass += weight;
    EXPECT_LE(needle, i) << "the needle lies before the query, so it is there in causal use too";
    without(i, needle) = 0;
    needles.insert(needle);
  }
  EXPECT_GT(heaviest / 600, 0.95);
  EXPECT_NEAR(mass / 600, std::exp(2) / (1 + std::exp(2)), 0.05);
  EXPECT_GT(needles.size(), 200u);  // not one and the same
  const Eigen::VectorXd kept = without.rowwise().sum();
  without = kept.cwiseInverse().asDiagonal() * without;
  EXPECT_GT(((without - weights) * v).norm() / (weights * v).norm(), 0.8);
}

/// The key that each query of the first head of a sequence is aligned to: without noise, a query is
/// a multiple of it.
std::vector<Index> alignments_of(const LayerInput& noiseless, Index sequence) {
  const Matrix q = to_double(noiseless.q_of(sequence, 0)),
               k = to_double(noiseless.k_of(sequence, 0));
  const Matrix cosines = q.rowwise().normalized() * k.rowwise().normalized().transpose();
  std::vector<Index> aligned(static_cast<std::size_t>(q.rows()));
  for (Index i = 0; i < q.rows(); ++i) {
    EXPECT_NEAR(cosines.row(i).maxCoeff(&aligned[i]), 1, 1e-6);
  }
  return aligned;
}

TEST(Inputs, DenseWeightsShowTheAlignment) {
  for (const auto& [queries, keys] : {std::pair<Index, Index>{32, 48}, {48, 48}, {80, 48}}) {
    InputRequest request = {.batch = 2, .queries = queries, .keys = keys};
    const LayerInput input = make("alignment", request);
    const LayerInput noiseless = make("alignment(noise=0)", request);
    EXPECT_NE(alignments_of(noiseless, 0), alignments_of(noiseless, 1));
    for (Index sequence = 0; sequence < 2; ++sequence) {
      const std::vector<Index> aligned = alignments_of(noiseless, sequence);
      const Matrix weights = weights_of(input, sequence);
      Index found = 0;
      for (Index i = 0; i < queries; ++i) {
        Index heaviest = 0;
        weights.row(i).maxCoeff(&heaviest);
        found += heaviest == aligned[i];
      }
      EXPECT_GT(found, 9 * queries / 10);
    }
  }
}

TEST(Inputs, AlignmentsGoForwardOnTheWhole) {
  const InputRequest request = {.queries = 400, .keys = 600};
  const auto aligned = [&](const char* expression) {
    return alignments_of(make(expression, request), 0);
  };
  const std::vector<Index> plain = aligned("alignment(noise=0,reorder=0,repeats=0)");
  for (Index i = 0; i < 400; ++i) EXPECT_EQ(plain[i], (2 * i + 1) * 3 / 4);

  const std::vector<Index> moved = aligned("alignment(noise=0,reorder=4,repeats=0)");
  Index back = 0;
  for (Index i = 0; i < 400; ++i) {
    EXPECT_LE(std::abs(moved[i] - plain[i]), 5);
    back += i > 0 && moved[i] < moved[i - 1];
  }
  // Steps of 1.5 between draws that differ by a triangular amount up to 8: P(back) = (6.5/8)^2/2.
  EXPECT_NEAR(static_cast<double>(back) / 400, 0.33, 0.12);

  const std::vector<Index> still = aligned("alignment(noise=0,reorder=0,repeats=0.5)");
  Index repeated = 0;
  for (Index i = 1; i < 400; ++i) repeated += still[i] == still[i - 1];
  // No query stays where one stayed: a share of p / (1 + p) does.
  EXPECT_NEAR(static_cast<double>(repeated) / 399, 1.0 / 3, 5 * 0.5 / std::sqrt(399));
}

TEST(Inputs, SentencesOfABatchShareTheirWords) {
  // What is left of keys at one position is the difference of two words, of a vocabulary of two.
  const LayerInput input = make("alignment(vocabulary=2)", {.batch = 2, .queries = 60, .keys = 60});
  const Matrix first = to_double(input.k_of(0, 0)), second = to_double(input.k_of(1, 0));
  std::set<int> kinds;
  Eigen::RowVectorXd difference;
  for (Index j = 0; j < 60; ++j) {
    const Eigen::RowVectorXd between = first.row(j) - second.row(j);
    if (between.norm() < 1e-5) continue;
    if (difference.size() == 0) difference = between;
    const bool same = (between - difference).norm() < 1e-4;
    EXPECT_TRUE(same || (between + difference).norm() < 1e-4);
    kinds.insert(same ? 1 : -1);
  }
  EXPECT_EQ(kinds.size(), 2u);
}

TEST(Inputs, AlignedQueriesScoreAsDeclared) {
  const InputRequest request = {.queries = 20, .keys = 30, .dim = 16};
  const LayerInput input = make("alignment(noise=0,sharpness=7)", request);
  const std::vector<Index> aligned = alignments_of(input, 0);
  const Matrix scores = to_double(input.q_of(0, 0)) * to_double(input.k_of(0, 0)).transpose() / 4;
  for (Index i = 0; i < 20; ++i) EXPECT_NEAR(scores(i, aligned[i]), 7, 1e-5);
}

TEST(Inputs, MistakesAreNamed) {
  EXPECT_EQ(error_of("gausian"), "unknown input 'gausian' (did you mean 'gaussian'?)");
  EXPECT_THAT(error_of("gaussian(stdd=2)"), HasSubstr("no parameter 'stdd' (did you mean 'std'?)"));
  EXPECT_THAT(error_of("gaussian(std=-1)"), HasSubstr("std = -1 is out of range"));
  EXPECT_THAT(error_of("smooth(correlation=1.5)"), HasSubstr("out of range"));
  EXPECT_THAT(error_of("sinks(tokens=0)"), HasSubstr("out of range"));
  EXPECT_THAT(error_of("gaussian", {.queries = 0, .keys = 4}), HasSubstr("queries = 0"));
  EXPECT_THAT(error_of("gaussian", {.queries = 4, .keys = 0}), HasSubstr("keys = 0"));
  EXPECT_THAT(error_of("gaussian", {.heads = 4, .key_heads = 3, .queries = 4, .keys = 4}),
              HasSubstr("4 heads cannot share 3 key heads evenly"));
  EXPECT_THAT(error_of("gaussian", {.queries = Index{1} << 60, .keys = 4}),
              HasSubstr("is too large"));
}

TEST(Inputs, EveryOneIsDescribed) {
  const std::vector<InputInfo> infos = input_infos();
  EXPECT_GE(infos.size(), 7u);
  EXPECT_TRUE(std::ranges::is_sorted(infos, {}, &InputInfo::name));
  for (const InputInfo& info : infos) {
    EXPECT_FALSE(info.summary.empty());
    EXPECT_FALSE(info.parameters.empty()) << info.name;
    for (const ParameterInfo& parameter : info.parameters) EXPECT_FALSE(parameter.doc.empty());
  }
}

}  // namespace
}  // namespace subquad
