#include "models/language_reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "subquad/eigen.h"

namespace subquad {
namespace {

using Matrix = RowMajor<double>;

/// Queries at a time: no n x n matrix.
constexpr Index kQueries = 128;

Matrix in_double(ConstView matrix) { return as_eigen(matrix).cast<double>(); }

Eigen::RowVectorXd in_double(std::span<const float> vector) {
  return Eigen::Map<const Eigen::RowVectorXf>(vector.data(),
                                              static_cast<Eigen::Index>(vector.size()))
      .cast<double>();
}

Matrix norm(const Matrix& x, std::span<const float> gain, std::span<const float> bias) {
  constexpr double kEpsilon = 1e-5;
  const Eigen::RowVectorXd scale = in_double(gain), shift = in_double(bias);
  Matrix normed(x.rows(), x.cols());
  for (Index i = 0; i < x.rows(); ++i) {
    const Eigen::RowVectorXd centred = x.row(i).array() - x.row(i).mean();
    const double variance = centred.squaredNorm() / static_cast<double>(x.cols());
    normed.row(i) = centred.cwiseProduct(scale) / std::sqrt(variance + kEpsilon) + shift;
  }
  return normed;
}

/// Turns the pair (2i, 2i + 1) of the row at position p by p 10000^(-2i / dim).
void rotate(Eigen::Ref<Matrix> head) {
  const Index dim = head.cols();
  for (Index i = 0; i < dim / 2; ++i) {
    const double speed =
        std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
    for (Index p = 0; p < head.rows(); ++p) {
      const double angle = static_cast<double>(p) * speed;
      const double a = head(p, 2 * i), b = head(p, 2 * i + 1);
      head(p, 2 * i) = a * std::cos(angle) - b * std::sin(angle);
      head(p, 2 * i + 1) = a * std::sin(angle) + b * std::cos(angle);
    }
  }
}

/// softmax(q k^T / sqrt(dim)) v over the keys up to each query.
Matrix attention(const Matrix& q, const Matrix& k, const Matrix& v) {
  Matrix out(q.rows(), v.cols());
  const double scale = 1 / std::sqrt(static_cast<double>(q.cols()));
  for (Index first = 0; first < q.rows(); first += kQueries) {
    const Index count = std::min(kQueries, q.rows() - first), keys = first + count;
    Matrix weights = scale * (q.middleRows(first, count) * k.topRows(keys).transpose());
    for (Index i = 0; i < count; ++i) {
      const Index seen = first + i + 1;
      const double largest = weights.row(i).head(seen).maxCoeff();
      double sum = 0;
      for (Index j = 0; j < keys; ++j) {
        weights(i, j) = j < seen ? std::exp(weights(i, j) - largest) : 0;
        sum += weights(i, j);
      }
      weights.row(i) /= sum;
    }
    out.middleRows(first, count).noalias() = weights * v.topRows(keys);
  }
  return out;
}

void add_attention(const LanguageWeights& weights, Index layer, Matrix& x) {
  const LanguageShape& shape = weights.shape();
  const Index width = shape.width();
  Matrix qkv = norm(x, weights.vector(layer, "attention_norm.weight"),
                    weights.vector(layer, "attention_norm.bias")) *
               in_double(weights.matrix(layer, "attention.qkv.weight")).transpose();
  Matrix attended(x.rows(), width);
  for (Index head = 0; head < shape.heads; ++head) {
    const auto part = [&](Index which) -> Matrix {
      return qkv.middleCols(which * width + head * shape.dim, shape.dim);
    };
    Matrix q = part(0), k = part(1);
    rotate(q);
    rotate(k);
    attended.middleCols(head * shape.dim, shape.dim) = attention(q, k, part(2));
  }
  x.noalias() += attended * in_double(weights.matrix(layer, "attention.output.weight")).transpose();
}

void add_feed_forward(const LanguageWeights& weights, Index layer, Matrix& x) {
  Matrix hidden = norm(x, weights.vector(layer, "feed_forward_norm.weight"),
                       weights.vector(layer, "feed_forward_norm.bias")) *
                  in_double(weights.matrix(layer, "feed_forward.up.weight")).transpose();
  hidden.rowwise() += in_double(weights.vector(layer, "feed_forward.up.bias"));
  hidden = hidden.unaryExpr(
      [](double value) { return value * std::erfc(-value / std::numbers::sqrt2) / 2; });
  x.noalias() += hidden * in_double(weights.matrix(layer, "feed_forward.down.weight")).transpose();
  x.rowwise() += in_double(weights.vector(layer, "feed_forward.down.bias"));
}

}  // namespace

void reference_logits(const LanguageWeights& weights, std::span<const std::uint8_t> bytes,
                      std::span<const Index> rows, MatrixView<double> logits) {
  const Matrix embedding = in_double(weights.matrix("embedding.weight"));
  Matrix x(static_cast<Index>(bytes.size()), embedding.cols());
  for (Index i = 0; i < x.rows(); ++i) x.row(i) = embedding.row(bytes[static_cast<std::size_t>(i)]);
  for (Index layer = 0; layer < weights.shape().layers; ++layer) {
    add_attention(weights, layer, x);
    add_feed_forward(weights, layer, x);
  }
  Matrix wanted(static_cast<Index>(rows.size()), x.cols());
  for (Index i = 0; i < wanted.rows(); ++i)
    wanted.row(i) = x.row(rows[static_cast<std::size_t>(i)]);
  as_eigen(logits) =
      norm(wanted, weights.vector("final_norm.weight"), weights.vector("final_norm.bias")) *
      in_double(weights.matrix("head.weight")).transpose();
}

}  // namespace subquad
