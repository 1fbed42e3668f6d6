#include "kernels/few_queries.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

struct Case {
  Index queries, keys, dim, value_dim;
};

/// Queries in double; keys and values in rows with a gap between them.
struct Operands {
  explicit Operands(const Case& shape)
      : queries(static_cast<std::size_t>(shape.queries * shape.dim)),
        keys(static_cast<std::size_t>(shape.keys * (shape.dim + 3))),
        values(static_cast<std::size_t>(shape.keys * (shape.value_dim + 1))),
        q(queries.data(), shape.queries, shape.dim),
        k(keys.data(), shape.keys, shape.dim, shape.dim + 3),
        v(values.data(), shape.keys, shape.value_dim, shape.value_dim + 1) {
    Generator random(9);
    for (double& value : queries) value = static_cast<float>(random.normal());
    random.normals(keys);
    random.normals(values);
  }

  /// Largest distance of `out` from softmax attention by loops.
  double error(double scale, MatrixView<const double> out) const {
    double largest = 0;
    for (Index i = 0; i < q.rows; ++i) {
      std::vector<double> row(static_cast<std::size_t>(v.cols));
      double norm = 0;
      for (Index j = 0; j < k.rows; ++j) {
        double score = 0;
        for (Index c = 0; c < k.cols; ++c) score += q(i, c) * k(j, c);
        const double weight = std::exp(scale * score);
        norm += weight;
        for (Index c = 0; c < v.cols; ++c) row[c] += weight * v(j, c);
      }
      for (Index c = 0; c < v.cols; ++c) {
        largest = std::max(largest, std::abs(row[c] / norm - out(i, c)));
      }
    }
    return largest;
  }

  std::vector<double> queries;
  std::vector<float> keys, values;
  MatrixView<const double> q;
  ConstView k, v;
};

template <class T>
double error(const Case& shape) {
  const Operands operands(shape);
  const double scale = 1 / std::sqrt(static_cast<double>(shape.dim));
  Scratch scratch;
  declare_stretches<T>(shape.queries, shape.keys, shape.dim, shape.value_dim, scratch);
  SimpleRun run(scratch);
  std::vector<T> queries(operands.queries.begin(), operands.queries.end());
  std::vector<double> out(static_cast<std::size_t>(shape.queries * (shape.value_dim + 2)), NAN);
  const MatrixView<double> view(out.data(), shape.queries, shape.value_dim, shape.value_dim + 2);
  attend_by_stretches(MatrixView<const T>(queries.data(), shape.queries, shape.dim), operands.k,
                      operands.v, scale, view, run);
  const double pairs = static_cast<double>(shape.queries * shape.keys);
  EXPECT_GE(run.executed().multiply_adds, pairs * (shape.dim + shape.value_dim));
  return operands.error(scale, view);
}

constexpr Case kCases[] = {
    {1, 1, 1, 1}, {2, 1025, 5, 7}, {64, 3000, 16, 16}, {205, 1100, 8, 3}, {3, 20000, 4, 70}};

TEST(FewQueries, MergeStretchesOfKeys) {
  // 16 epsilon of a score (which stays below 8) and of a value (below 6).
  for (const Case& shape : kCases) {
    EXPECT_LT(error<float>(shape), 16 * 8 * 6 * 0x1p-23) << shape.queries << " x " << shape.keys;
  }
}

TEST(FewQueries, InDoubleTheyHaveItsDigits) {
  for (const Case& shape : kCases) {
    EXPECT_LT(error<double>(shape), 16 * 8 * 6 * 0x1p-52) << shape.queries << " x " << shape.keys;
  }
}

}  // namespace
}  // namespace subquad
