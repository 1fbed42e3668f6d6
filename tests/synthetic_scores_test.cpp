#include "kernels/synthetic_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// Scores stay below 10 here, and sums have fewer than 40 terms.
constexpr double kTolerance = 10 * 16 * std::numeric_limits<float>::epsilon();

class Numbers {
 public:
  Numbers(Index rows, Index cols, std::uint64_t seed, double std = 1)
      : values_(static_cast<std::size_t>(rows * cols)), rows_(rows), cols_(cols) {
    Generator(seed).normals(values_, std);
  }
  ConstView view() const { return {values_.data(), rows_, cols_}; }
  float& at(Index i, Index j) { return values_[i * cols_ + j]; }

 private:
  std::vector<float> values_;
  Index rows_, cols_;
};

/// relu(layer input_i), in double.
std::vector<double> hidden(ConstView input, ConstView layer, Index i) {
  std::vector<double> h(static_cast<std::size_t>(layer.rows));
  for (Index r = 0; r < layer.rows; ++r) {
    for (Index c = 0; c < layer.cols; ++c) h[r] += double{layer(r, c)} * input(i, c);
    h[r] = std::max(h[r], 0.0);
  }
  return h;
}

double dot(const std::vector<double>& h, ConstView rows, Index j) {
  double sum = 0;
  for (Index c = 0; c < rows.cols; ++c) sum += h[c] * rows(j, c);
  return sum;
}

double score(const SyntheticScores& scores, Index i, Index j) {
  double sum = 0;
  for (const SyntheticScores::Product& product : scores.products) {
    std::vector<double> row;
    if (product.layer.empty()) {
      row.assign(product.input.row(i), product.input.row(i) + product.input.cols);
    } else {
      row = hidden(product.input, product.layer, i);
    }
    sum += product.weight * dot(row, product.keys, j);
  }
  for (const SyntheticScores::Matrix& matrix : scores.matrices) {
    sum += double{matrix.weight} * matrix.scores(i, j);
  }
  if (scores.outer != nullptr) {
    const SyntheticScores::Outer& outer = *scores.outer;
    const std::vector<double> h = hidden(outer.input, outer.layer, i);
    const Index b = outer.second.rows;
    sum += outer.weight * dot(h, outer.first, j / b) * dot(h, outer.second, j % b);
  }
  return sum;
}

std::vector<double> naive(const SyntheticScores& scores, ConstView v, bool causal) {
  std::vector<double> out(static_cast<std::size_t>(v.rows * v.cols));
  for (Index i = 0; i < v.rows; ++i) {
    double norm = 0;
    for (Index j = 0; j < (causal ? i + 1 : v.rows); ++j) {
      const double weight = std::exp(score(scores, i, j));
      norm += weight;
      for (Index c = 0; c < v.cols; ++c) out[i * v.cols + c] += weight * v(j, c);
    }
    for (Index c = 0; c < v.cols; ++c) out[i * v.cols + c] /= norm;
  }
  return out;
}

std::vector<float> attend(const SyntheticScores& scores, ConstView v, bool causal,
                          Work* executed = nullptr) {
  std::vector<float> out(static_cast<std::size_t>(v.rows * v.cols), NAN);
  const Scratch declared = scores.scratch(v.rows, v.cols);
  SimpleRun run(declared);
  scores.attend(v, View(out.data(), v.rows, v.cols), causal, run);
  EXPECT_EQ(run.shared().high_water(), declared.shared_bytes);
  EXPECT_EQ(run.worker().scratch.high_water(), declared.worker_bytes);
  if (executed != nullptr) *executed = run.executed();
  return out;
}

/// One of each term and more, for n tokens.
struct Terms {
  explicit Terms(Index n)
      : x(n, 6, 1),
        q(n, 5, 2),
        layer(4, 6, 3, 0.4),
        keys(n, 4, 4, 0.5),
        direct(n, 5, 5, 0.5),
        matrix(n, n, 6),
        other(n, n, 7),
        first((n + 2) / 3, 4, 8, 0.5),
        second(std::min<Index>(n, 3), 4, 9, 0.5),
        products{
            {{x.view(), layer.view(), keys.view(), 0.5f}, {q.view(), {}, direct.view(), 2.0f}}},
        matrices{{{matrix.view(), 0.25f}, {other.view(), 1.5f}}},
        outer{x.view(), layer.view(), first.view(), second.view(), 0.7f} {}

  Numbers x, q, layer, keys, direct, matrix, other, first, second;
  std::array<SyntheticScores::Product, 2> products;
  std::array<SyntheticScores::Matrix, 2> matrices;
  SyntheticScores::Outer outer;

  SyntheticScores all() const { return {products, matrices, &outer}; }
  std::vector<SyntheticScores> choices() const {
    const std::span<const SyntheticScores::Product> one(products.data(), 1);
    return {all(),
            {one, {}, nullptr},
            {{&products[1], 1}, {}, nullptr},
            {products, {}},
            {{}, matrices, nullptr},
            {{}, {}, &outer},
            {one, {}, &outer}};
  }
};

TEST(SyntheticScores, EqualNaiveSums) {
  for (const Index n : {1, 2, 17, 64, 131, 400}) {
    const Terms terms(n);
    const Numbers v(n, 7, 10);
    for (const bool causal : {false, true}) {
      for (const SyntheticScores& scores : terms.choices()) {
        EXPECT_LT(VariantTrial::difference(attend(scores, v.view(), causal),
                                           naive(scores, v.view(), causal)),
                  kTolerance)
            << n << causal;
      }
    }
  }
}

TEST(SyntheticScores, ASequenceReadsTheFirstRowsAndColumnsOfLongerMatrices) {
  const Terms terms(300);
  const Numbers v(100, 3, 10);
  const SyntheticScores::Matrix leading{terms.matrix.view().row_range(0, 100).col_range(0, 100), 1};
  const SyntheticScores scores{{}, {&leading, 1}};
  EXPECT_LT(
      VariantTrial::difference(attend(scores, v.view(), false), naive(scores, v.view(), false)),
      kTolerance);
}

TEST(SyntheticScores, LaterTokensReachNoBit) {
  Terms terms(250);
  Numbers v(250, 5, 10);
  const std::vector<float> expected = attend(terms.all(), v.view(), true);
  constexpr Index kLast = 120;
  for (Index j = kLast + 1; j < 250; ++j) {
    for (Index c = 0; c < 6; ++c) terms.x.at(j, c) = NAN;
    for (Index c = 0; c < 5; ++c) terms.q.at(j, c) = terms.direct.at(j, c) = v.at(j, c) = NAN;
  }
  const std::vector<float> out = attend(terms.all(), v.view(), true);
  for (Index t = 0; t < (kLast + 1) * 5; ++t) EXPECT_EQ(out[t], expected[t]);
}

TEST(SyntheticScores, CountsPairsOfOuterProducts) {
  // Keys beside it cost what they cost by themselves.
  const Terms terms(90);
  const Numbers v(90, 16, 10);
  for (const bool causal : {false, true}) {
    Work with, without;
    const Index n = 90, inner = 4, lengths = 30 + 3;
    attend({{}, {}, &terms.outer}, v.view(), causal, &with);
    attend({{}, terms.matrices, nullptr}, v.view(), causal, &without);
    const double pairs = causal ? n * (n + 1) / 2 : n * n;
    EXPECT_GE(with.multiply_adds - without.multiply_adds, pairs + n * inner * (6 + lengths));
    EXPECT_GE(without.exponentials, pairs);
  }
}

}  // namespace
}  // namespace subquad
