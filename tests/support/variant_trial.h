#pragma once

/// One head of random inputs for tests of single variants: forward in float and reference in double
/// of any expression, with the same tensors.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "layers/catalogue.h"
#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {

class VariantTrial {
 public:
  /// Inputs from normal(0, std); `padding` unused columns behind every row, so views are strided.
  VariantTrial(const std::string& expression, const Problem& problem, std::uint64_t seed = 1,
               double std = 1, Index padding = 0)
      : problem(problem),
        variant(make_variant(parse_expression(expression), problem)),
        tensors(*variant, problem, seed) {
    Generator random(seed, 77);
    q = draw(random, problem.queries, problem.dim, std, padding);
    k = draw(random, problem.keys, problem.dim, std, padding);
    v = draw(random, problem.keys, problem.value_dim, 1, padding);
    x = variant->consumes().x ? v : Matrix();
    out_.resize(static_cast<std::size_t>(problem.queries * problem.value_dim),
                std::numeric_limits<float>::quiet_NaN());
  }

  /// [rows, cols] inside wider rows.
  struct Matrix {
    std::vector<float> values;
    Index rows = 0, cols = 0, stride = 0;
    float& operator()(Index i, Index j) { return values[i * stride + j]; }
    ConstView view() const { return {values.data(), rows, cols, stride}; }
    std::vector<double> doubles() const {
      std::vector<double> result;
      for (Index i = 0; i < rows; ++i) {
        const float* row = values.data() + i * stride;
        result.insert(result.end(), row, row + cols);
      }
      return result;
    }
  };

  /// Token i of self attention, whose output is to go to row i of `out`.
  Token token(Index i, View out) const {
    return {.queries = q.view().row_range(i, 1),
            .key = k.view().row(i),
            .value = v.view().row(i),
            .x = x.values.empty() ? ConstView() : x.view().row_range(i, 1),
            .out = out.row_range(i, 1)};
  }

  /// Causal self attention token by token: as `forward`. Leaves what the state came to in
  /// `state_bytes`.
  std::vector<float> decode() {
    const std::unique_ptr<Stream> stream = variant->stream(problem, tensors);
    std::vector<float> out(out_.size(), std::numeric_limits<float>::quiet_NaN());
    const View rows(out.data(), problem.queries, problem.value_dim);
    for (Index i = 0; i < problem.queries; ++i) stream->step(token(i, rows));
    state_bytes = stream->state_bytes();
    return out;
  }

  /// Output [queries, value_dim], row-major. Leaves log-sum-exps in `log_sum_exp` where the variant
  /// gives them, and what was done in `executed`.
  std::vector<float> forward() {
    SimpleRun run(variant->scratch(problem));
    if (variant->gives_log_sum_exp()) {
      log_sum_exp.assign(static_cast<std::size_t>(problem.queries),
                         std::numeric_limits<float>::quiet_NaN());
    }
    const Consumes reads = variant->consumes();
    std::fill(out_.begin(), out_.end(), std::numeric_limits<float>::quiet_NaN());
    variant->forward({.problem = problem,
                      .q = reads.q ? q.view() : ConstView(),
                      .k = reads.k ? k.view() : ConstView(),
                      .v = reads.v ? v.view() : ConstView(),
                      .x = x.view(),
                      .out = View(out_.data(), problem.queries, problem.value_dim),
                      .row_log_sum_exp = log_sum_exp.empty() ? nullptr : log_sum_exp.data(),
                      .tensors = tensors,
                      .prepared = {},
                      .run = run});
    executed = run.executed();
    return out_;
  }

  std::vector<double> reference() {
    std::vector<double> out(out_.size(), std::numeric_limits<double>::quiet_NaN());
    reference_log_sum_exp.assign(static_cast<std::size_t>(problem.queries), 0);
    with_doubles(MatrixView<double>(out.data(), problem.queries, problem.value_dim),
                 [&](const ReferenceCall& call) { variant->reference(call); });
    return out;
  }

  /// [queries, keys].
  std::vector<double> weights() {
    std::vector<double> result(static_cast<std::size_t>(problem.queries * problem.keys));
    with_doubles({}, [&](const ReferenceCall& call) {
      variant->weights(call, {result.data(), problem.queries, problem.keys});
    });
    return result;
  }

  /// Largest difference of weights times V and the reference.
  double weights_error() {
    const std::vector<double> matrix = weights(), expected = reference();
    double largest = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      for (Index c = 0; c < problem.value_dim; ++c) {
        double sum = 0;
        for (Index j = 0; j < problem.keys; ++j) sum += matrix[i * problem.keys + j] * v(j, c);
        const double distance = std::abs(sum - expected[i * problem.value_dim + c]);
        // A NaN must not get lost in a comparison.
        if (std::isnan(distance)) return std::numeric_limits<double>::infinity();
        largest = std::max(largest, distance);
      }
    }
    return largest;
  }

  /// Largest difference of forward and reference over the largest element of the reference.
  double error() {
    // In this order: the reference reads the choices that forward takes.
    const std::vector<float> out = forward();
    return difference(out, reference());
  }

  template <class A, class B>
  static double difference(const std::vector<A>& a, const std::vector<B>& b) {
    double largest = 0, scale = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
      const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
      // A NaN must not get lost in a comparison.
      largest = distance <= largest ? largest : distance;
      if (std::isnan(distance)) return std::numeric_limits<double>::infinity();
      scale = std::max(scale, std::abs(static_cast<double>(b[i])));
    }
    return scale == 0 ? largest : largest / scale;
  }

  Problem problem;
  std::unique_ptr<Variant> variant;
  DrawnMapTensors tensors;
  Matrix q, k, v, x;
  std::vector<float> log_sum_exp;
  std::vector<double> reference_log_sum_exp;
  Work executed;
  std::size_t state_bytes = 0;

 private:
  static Matrix draw(Generator& random, Index rows, Index cols, double std, Index padding) {
    Matrix matrix{std::vector<float>(static_cast<std::size_t>(rows * (cols + padding)),
                                     std::numeric_limits<float>::quiet_NaN()),
                  rows, cols, cols + padding};
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) matrix(i, j) = static_cast<float>(std * random.normal());
    }
    return matrix;
  }

  template <class Body>
  void with_doubles(MatrixView<double> out, Body body) {
    const std::vector<double> dq = q.doubles(), dk = k.doubles(), dv = v.doubles(),
                              dx = x.doubles();
    body({.problem = problem,
          .q = {dq.data(), q.rows, q.cols},
          .k = {dk.data(), k.rows, k.cols},
          .v = {dv.data(), v.rows, v.cols},
          .x = {dx.data(), x.rows, x.cols},
          .out = out,
          .row_log_sum_exp = variant->gives_log_sum_exp() ? reference_log_sum_exp.data() : nullptr,
          .tensors = tensors});
  }

  std::vector<float> out_;
};

/// Shape of self attention.
inline Problem self_problem(Index n, Index dim, Index value_dim, bool causal = false) {
  return {.queries = n, .keys = n, .dim = dim, .value_dim = value_dim, .causal = causal};
}

/// Largest difference between the outputs of two expressions, over the largest element.
inline double expressions_difference(const std::string& one, const std::string& other,
                                     const Problem& problem) {
  return VariantTrial::difference(VariantTrial(one, problem).forward(),
                                  VariantTrial(other, problem).forward());
}

/// Causal outputs must not change in a bit when keys, values and layer inputs of later positions
/// are NaN. Returns the number of rows that do change.
inline Index rows_that_see_the_future(const std::string& expression, const Problem& problem) {
  VariantTrial clean(expression, problem);
  const std::vector<float> expected = clean.forward();
  Index changed = 0;
  for (const Index row : {Index{0}, problem.queries / 3, problem.queries / 2}) {
    VariantTrial poisoned(expression, problem);
    for (Index j = problem.position(row) + 1; j < problem.keys; ++j) {
      for (VariantTrial::Matrix* matrix : {&poisoned.k, &poisoned.v, &poisoned.x}) {
        for (Index c = 0; c < matrix->cols; ++c) (*matrix)(j, c) = NAN;
      }
    }
    const std::vector<float> out = poisoned.forward();
    for (Index i = 0; i <= row; ++i) {
      const auto begin = static_cast<std::ptrdiff_t>(i * problem.value_dim);
      changed += !std::equal(out.begin() + begin, out.begin() + begin + problem.value_dim,
                             expected.begin() + begin);
    }
  }
  return changed;
}

}  // namespace subquad
