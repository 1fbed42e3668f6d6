#include "kernels/best_rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "inputs/input.h"
#include "kernels/symmetric_eigen.h"
#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

/// Row-major doubles, with loops for what tests need of algebra.
struct Matrix {
  Index rows, cols;
  std::vector<double> values;

  Matrix(Index rows, Index cols)
      : rows(rows), cols(cols), values(static_cast<std::size_t>(rows * cols)) {}
  double& operator()(Index i, Index j) { return values[i * cols + j]; }
  double operator()(Index i, Index j) const { return values[i * cols + j]; }
  MatrixView<double> view() { return {values.data(), rows, cols}; }
  MatrixView<const double> view() const { return {values.data(), rows, cols}; }
  double squares() const {
    return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  }
};

Matrix random_matrix(Index rows, Index cols, std::uint64_t seed, double std = 1) {
  Generator random(seed);
  Matrix matrix(rows, cols);
  for (double& value : matrix.values) value = std * random.normal();
  return matrix;
}

Matrix identity(Index size) {
  Matrix matrix(size, size);
  for (Index i = 0; i < size; ++i) matrix(i, i) = 1;
  return matrix;
}

/// Orthonormal rows, by Gram and Schmidt, twice.
Matrix orthonormal(Index rows, Index cols, std::uint64_t seed) {
  Matrix matrix = random_matrix(rows, cols, seed);
  for (Index i = 0; i < rows; ++i) {
    double* const row = matrix.view().row(i);
    for (int pass = 0; pass < 2; ++pass) {
      for (Index j = 0; j < i; ++j) {
        const double* const other = matrix.view().row(j);
        const double dot = std::inner_product(row, row + cols, other, 0.0);
        for (Index c = 0; c < cols; ++c) row[c] -= dot * other[c];
      }
    }
    const double norm = std::sqrt(std::inner_product(row, row + cols, row, 0.0));
    for (Index c = 0; c < cols; ++c) row[c] /= norm;
  }
  return matrix;
}

/// sum over i < count of values[i] u_i w_i^T.
Matrix composed(const Matrix& u, const std::vector<double>& values, const Matrix& w, Index count) {
  Matrix matrix(u.cols, w.cols);
  for (Index s = 0; s < count; ++s) {
    for (Index i = 0; i < u.cols; ++i) {
      for (Index j = 0; j < w.cols; ++j) matrix(i, j) += values[s] * u(s, i) * w(s, j);
    }
  }
  return matrix;
}

/// Tiles from first to last; SimpleRun takes them from last to first.
class ForwardRun final : public Run {
 public:
  explicit ForwardRun(const Scratch& scratch)
      : memory_(scratch.shared_bytes + scratch.worker_bytes + kArenaAlignment) {
    void* begin = memory_.data();
    std::size_t room = memory_.size();
    auto* const at = static_cast<std::byte*>(std::align(kArenaAlignment, 1, begin, room));
    arena_ = Arena(at, scratch.shared_bytes);
    worker_.scratch = Arena(at + scratch.shared_bytes, scratch.worker_bytes);
    shared_ = &arena_;
  }

 protected:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override {
    for (Index tile = 0; tile < tiles; ++tile) {
      worker_.scratch.rewind(0);
      function(context, tile, worker_);
    }
  }

 private:
  std::vector<std::byte> memory_;
  Arena arena_;
  Worker worker_;
};

/// A_r v, or, with nothing for `v`, A_r. Takes exactly the memory that was declared.
Matrix best(const Matrix& a, Index rank, const Matrix* v = nullptr) {
  const Matrix unit = identity(v == nullptr ? a.cols : 0);
  const Matrix& right = v == nullptr ? unit : *v;
  const BestRank best_rank(a.rows, a.cols, rank);
  const Scratch scratch = best_rank.scratch(right.cols);
  SimpleRun run(scratch);
  Matrix out(a.rows, right.cols);
  best_rank.multiply(a.view(), right.view(), out.view(), run);
  EXPECT_EQ(run.shared().high_water(), scratch.shared_bytes);
  EXPECT_EQ(run.worker().scratch.high_water(), scratch.worker_bytes);
  EXPECT_EQ(run.shared().used(), 0u);
  EXPECT_LE(run.executed().multiply_adds,
            // Whole vectors of up to eight columns.
            best_rank.multiply_adds(right.cols) * 1.5 + 1e5);
  return out;
}

double distance(const Matrix& a, const Matrix& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    squares += std::pow(a.values[i] - b.values[i], 2);
  }
  return std::sqrt(squares);
}

TEST(BestRank, CutsAKnownDecompositionOff) {
  const std::pair<Index, Index> shapes[] = {{40, 40}, {1, 7}, {7, 1}, {131, 20}, {17, 90}};
  for (const auto& [rows, cols] : shapes) {
    const Index side = std::min(rows, cols);
    const Matrix u = orthonormal(side, rows, 1), w = orthonormal(side, cols, 2);
    std::vector<double> values;
    for (Index i = 0; i < side; ++i) values.push_back(std::pow(0.7, static_cast<double>(i)));
    const Matrix a = composed(u, values, w, side);
    for (const Index rank : {Index{1}, Index{2}, side / 2, side - 1, side, side + 5}) {
      if (rank < 1) continue;
      // Eigenvectors of the Gram matrix are off by its rounding over the gap of squares; this times
      // the singular value is at most some side epsilon / values[rank - 1], which the value itself
      // bounds as well: at worst the root of that.
      const double tolerance = 8 * std::sqrt(static_cast<double>(side) * kEpsilon);
      EXPECT_LT(distance(best(a, rank), composed(u, values, w, std::min(rank, side))), tolerance)
          << rows << ' ' << cols << ' ' << rank;
    }
    // Well above the rounding of squares nothing is lost.
    EXPECT_LT(distance(best(a, 4), composed(u, values, w, std::min<Index>(4, side))), 1e-13);
  }
}

TEST(BestRank, KeepsSingularValuesThatCoincide) {
  const Matrix u = orthonormal(9, 30, 3), w = orthonormal(9, 25, 4);
  const std::vector<double> values = {5, 4, 4, 4 * (1 - 5e-7), 4 * (1 - 2e-6), 1, 1, 1, 0.5};
  const Matrix a = composed(u, values, w, 9);
  const Index kept[] = {1, 4, 4, 4, 5, 8, 8, 8};
  for (Index rank = 1; rank <= 8; ++rank) {
    // The gap of 1.5e-6 bounds the error by about epsilon 5^2 / (4 * 1.5e-6 * 4).
    EXPECT_LT(distance(best(a, rank), composed(u, values, w, kept[rank - 1])), 1e-9) << rank;
  }
}

TEST(BestRank, OfAOneHotMatrixKeepsTheMostChosenKeys) {
  // Singular values are the roots of how often a key is chosen.
  const std::vector<Index> counts = {9, 7, 7, 4, 1, 1, 1, 1, 0, 0};
  Matrix a(31, 10);
  Index row = 0;
  for (Index key = 0; key < 10; ++key) {
    for (Index i = 0; i < counts[key]; ++i) a(row++, key) = 1;
  }
  const Index kept[] = {1, 3, 3, 4, 8, 8, 8, 8};
  for (Index rank = 1; rank <= 8; ++rank) {
    Matrix expected = a;
    for (Index i = 0; i < 31; ++i) {
      for (Index key = kept[rank - 1]; key < 10; ++key) expected(i, key) = 0;
    }
    EXPECT_LT(distance(best(a, rank), expected), 1e-13) << rank;
  }
}

TEST(BestRank, AppliesItToValuesAndAdds) {
  const Matrix a = random_matrix(30, 40, 5), v = random_matrix(40, 7, 6);
  const Matrix cut = best(a, 3), product = best(a, 3, &v);
  Matrix expected(30, 7);
  for (Index i = 0; i < 30; ++i) {
    for (Index j = 0; j < 40; ++j) {
      for (Index c = 0; c < 7; ++c) expected(i, c) += cut(i, j) * v(j, c);
    }
  }
  EXPECT_LT(distance(product, expected), 1e-12);
  for (const Index rank : {3, 40}) {
    for (const bool wide : {false, true}) {
      const Matrix b = wide ? a : random_matrix(90, 40, 7);
      const BestRank best_rank(b.rows, b.cols, rank);
      SimpleRun run(best_rank.scratch(7));
      Matrix out = random_matrix(b.rows, 7, 8);
      Matrix sum = best(b, rank, &v);
      for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += out.values[i];
      best_rank.multiply(b.view(), v.view(), out.view(), run, true);
      EXPECT_LT(distance(out, sum), 1e-12);
    }
  }
}

/// Squared singular values, by all eigenvalues of the smaller Gram matrix.
std::vector<double> squared_singular_values(const Matrix& a) {
  const Index side = std::min(a.rows, a.cols);
  Matrix gram(side, side);
  for (Index k = 0; k < std::max(a.rows, a.cols); ++k) {
    for (Index i = 0; i < side; ++i) {
      const double left = a.cols <= a.rows ? a(k, i) : a(i, k);
      const double* const line = &a.values[k * a.cols];
      for (Index j = 0; j <= i; ++j) {
        gram(i, j) += left * (a.cols <= a.rows ? line[j] : a(j, k));
      }
    }
  }
  std::vector<double> values(static_cast<std::size_t>(side));
  Scratch scratch;
  scratch.shared_bytes = symmetric_eigen_scratch_bytes(side);
  SimpleRun run(scratch);
  symmetric_eigen(gram.view(), values, run.shared());
  return values;
}

/// Softmax matrix of given queries and keys.
Matrix softmax_of(ConstView q, ConstView k) {
  Matrix matrix(q.rows, k.rows);
  for (Index i = 0; i < q.rows; ++i) {
    double sum = 0;
    for (Index j = 0; j < k.rows; ++j) {
      const double dot = std::inner_product(q.row(i), q.row(i) + q.cols, k.row(j), 0.0);
      sum += matrix(i, j) = std::exp(dot / std::sqrt(static_cast<double>(q.cols)));
    }
    for (Index j = 0; j < k.rows; ++j) matrix(i, j) /= sum;
  }
  return matrix;
}

Matrix random_softmax(Index rows, Index cols, double std, Index dim = 64) {
  std::vector<float> q, k;
  for (const double value : random_matrix(rows, dim, 9, std).values) {
    q.push_back(static_cast<float>(value));
  }
  for (const double value : random_matrix(cols, dim, 10).values) {
    k.push_back(static_cast<float>(value));
  }
  return softmax_of({q.data(), rows, dim}, {k.data(), cols, dim});
}

/// What block Krylov iteration captures of the squared norm, against what there is to capture; and
/// that it is a projection, so that what is left is what it lacks.
void expect_captures(const Matrix& a, const std::string& what) {
  const std::vector<double> squares = squared_singular_values(a);
  for (const Index rank : {1, 8, 64, 90}) {
    const Matrix cut = best(a, rank);
    const double most = std::accumulate(squares.begin(), squares.begin() + rank, 0.0);
    EXPECT_GE(cut.squares(), most * (1 - 1e-6)) << what << ' ' << rank;
    EXPECT_LE(cut.squares(), most * (1 + 1e-9)) << what << ' ' << rank;
    EXPECT_NEAR(std::pow(distance(a, cut), 2), a.squares() - cut.squares(), 1e-10 * a.squares());
  }
}

TEST(BestRank, KrylovCapturesTheNormOfRandomSoftmaxMatrices) {
  expect_captures(random_softmax(600, 600, 1), "gaussian");
  expect_captures(random_softmax(1024, 1024, 2), "sharp gaussian");
  expect_captures(random_softmax(700, 900, 1.5, 8), "wide");
  expect_captures(random_softmax(900, 650, 1.5, 8), "high");
}

TEST(BestRank, KrylovCapturesTheNormOfRealOnes) {
  const LayerInput input =
      read_layer_input(std::string(SUBQUAD_SOURCE_DIR) + "/experiments/data/ocr_n2048.safetensors");
  for (const Index layer : {0, 1}) {
    expect_captures(
        softmax_of(input.q_of(layer, 3).row_range(0, 800), input.k_of(layer, 3).row_range(0, 800)),
        "layer " + std::to_string(layer));
  }
}

TEST(BestRank, KrylovOfWhatHasNoMoreThanThatRankIsThatItself) {
  const Matrix u = orthonormal(5, 700, 11), w = orthonormal(5, 600, 12);
  // The smallest singular value decides: an error of a few epsilon 3^2 / 0.1 in each of 600 places.
  const Matrix a = composed(u, {3, 2, 2, 1, 0.1}, w, 5);
  EXPECT_LT(distance(best(a, 5), a), 1e-12);
  EXPECT_LT(distance(best(a, 40), a), 1e-12);
  EXPECT_LT(distance(best(a, 2), composed(u, {3, 2, 2}, w, 3)), 1e-12);
}

TEST(BestRank, KrylovTakesTilesInAnyOrder) {
  const Matrix a = random_softmax(600, 520, 1), v = random_matrix(520, 9, 13);
  const BestRank best_rank(600, 520, 16);
  const Scratch scratch = best_rank.scratch(9);
  Matrix forward(600, 9), backward(600, 9);
  ForwardRun run(scratch);
  best_rank.multiply(a.view(), v.view(), forward.view(), run);
  SimpleRun other(scratch);
  best_rank.multiply(a.view(), v.view(), backward.view(), other);
  EXPECT_EQ(forward.values, backward.values);
}

TEST(BestRank, NotANumberComesOutAsThat) {
  for (const Index size : {20, 520}) {
    Matrix a = random_matrix(size, size, 14);
    a(3, 5) = NAN;
    const Matrix out = best(a, 8);
    EXPECT_TRUE(std::all_of(out.values.begin(), out.values.end(),
                            [](double value) { return std::isnan(value); }));
  }
}

}  // namespace
}  // namespace subquad
