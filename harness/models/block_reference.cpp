#include "models/block_reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "layers/team.h"

namespace subquad {
namespace {

double exact_gelu(double x) { return x * std::erfc(-x / std::numbers::sqrt2) / 2; }

MatrixView<const double> columns_of(const DoubleMatrix& matrix, Index first, Index count) {
  if (matrix.size() == 0) return {};
  return MatrixView<const double>(matrix.data(), matrix.rows(), matrix.cols())
      .col_range(first, count);
}

}  // namespace

DoubleMatrix norm_in_double(const DoubleMatrix& rows, const NormTensors& tensors, double epsilon) {
  DoubleMatrix result = rows;
  for (Index i = 0; i < rows.rows(); ++i) {
    const double mean = rows.row(i).mean();
    const double variance = (rows.row(i).array() - mean).square().mean();
    for (Index c = 0; c < rows.cols(); ++c) {
      const auto at = static_cast<std::size_t>(c);
      const double gain = tensors.gain.empty() ? 1 : tensors.gain[at];
      const double bias = tensors.bias.empty() ? 0 : tensors.bias[at];
      result(i, c) = (rows(i, c) - mean) / std::sqrt(variance + epsilon) * gain + bias;
    }
  }
  return result;
}

DoubleMatrix linear_in_double(const DoubleMatrix& rows, const LinearTensors& tensors) {
  constexpr Index kBlock = 256;
  const DoubleMatrix weight = as_eigen(tensors.weight).cast<double>();
  DoubleMatrix result(rows.rows(), weight.rows());
  set_up_in_parallel((rows.rows() + kBlock - 1) / kBlock, [&](Index block) {
    const Index first = block * kBlock, count = std::min(kBlock, rows.rows() - first);
    result.middleRows(first, count).noalias() = rows.middleRows(first, count) * weight.transpose();
    if (tensors.bias.empty()) return;
    for (Index i = first; i < first + count; ++i) {
      for (Index c = 0; c < result.cols(); ++c) {
        result(i, c) += tensors.bias[static_cast<std::size_t>(c)];
      }
    }
  });
  return result;
}

void rotate_in_double(DoubleMatrix& rows, Index dim) {
  for (Index i = 0; i < rows.rows(); ++i) {
    for (Index c = 0; c < rows.cols(); c += 2) {
      const double exponent = -static_cast<double>(c % dim) / static_cast<double>(dim);
      const double angle = static_cast<double>(i) * std::pow(10000.0, exponent);
      const double even = rows(i, c), odd = rows(i, c + 1);
      rows(i, c) = even * std::cos(angle) - odd * std::sin(angle);
      rows(i, c + 1) = even * std::sin(angle) + odd * std::cos(angle);
    }
  }
}

DoubleAttentionInput attention_input_in_double(const BlockShape& shape, const Consumes& consumes,
                                               const BlockTensors& tensors, const DoubleMatrix& x) {
  DoubleAttentionInput input;
  input.x = norm_in_double(x, tensors.attention_norm, shape.norm_epsilon);
  if (consumes.q) input.q = linear_in_double(input.x, tensors.q);
  if (consumes.k) input.k = linear_in_double(input.x, tensors.k);
  if (consumes.v) input.v = linear_in_double(input.x, tensors.v);
  if (shape.rotary && consumes.q) rotate_in_double(input.q, shape.dim);
  if (shape.rotary && consumes.k) rotate_in_double(input.k, shape.dim);
  return input;
}

DoubleMatrix finish_in_double(const BlockShape& shape, bool projected, const BlockTensors& tensors,
                              const DoubleMatrix& x, const DoubleMatrix& attended) {
  DoubleMatrix z = x + (projected ? linear_in_double(attended, tensors.out) : attended);
  if (shape.feed_forward == 0) return z;
  DoubleMatrix hidden = linear_in_double(
      norm_in_double(z, tensors.feed_forward_norm, shape.norm_epsilon), tensors.up);
  std::transform(hidden.data(), hidden.data() + hidden.size(), hidden.data(), exact_gelu);
  z += linear_in_double(hidden, tensors.down);
  return z;
}

DoubleMatrix block_in_double(const Layer& layer, const DrawnTensors& tensors,
                             const BlockShape& shape, const BlockTensors& block,
                             const DoubleMatrix& x, Index sequence) {
  const Consumes consumes = layer.consumes();
  const DoubleAttentionInput input = attention_input_in_double(shape, consumes, block, x);
  DoubleMatrix attended(x.rows(), x.cols());
  const Problem& problem = layer.problem();
  const Index columns = problem.value_dim;
  for (Index call = 0; call < layer.calls(); ++call) {
    const Variant& variant = layer.variant(call);
    const Consumes own = variant.consumes();
    const auto part = [&](bool consumed, const DoubleMatrix& whole) {
      return consumed ? columns_of(whole, call * columns, columns) : MatrixView<const double>();
    };
    const MatrixView<double> out(attended.data() + call * columns, attended.rows(), columns,
                                 attended.cols());
    variant.reference({.problem = problem,
                       .q = part(own.q, input.q),
                       .k = part(own.k, input.k),
                       .v = part(own.v, input.v),
                       .x = part(own.x, input.x),
                       .out = out,
                       .row_log_sum_exp = nullptr,
                       .tensors = tensors.of(call, sequence, problem)});
  }
  return finish_in_double(shape, consumes.v, block, x, attended);
}

}  // namespace subquad
