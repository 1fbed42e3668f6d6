#include "kernels/delta_rule.h"

#include <algorithm>

#include "kernels/product.h"
#include "kernels/triangular.h"

namespace subquad {
namespace {

/// Rows that take up earlier ones by one product; those among themselves, one at a time.
constexpr Index kBlock = 8;
/// Rows of a triangle that are multiplied at a time: longer ones pass over more of the half that
/// nobody reads, shorter ones pack keys more often.
constexpr Index kTriangleRows = 32;

/// to(i, j) = rows_i . keys_j for at least all j <= diagonal + i.
void multiply_triangle(ConstView rows, ConstView keys, Index diagonal, View to, Worker& worker) {
  for (Index begin = 0; begin < rows.rows; begin += kTriangleRows) {
    const Index count = std::min(kTriangleRows, rows.rows - begin);
    const Index seen = std::min(diagonal + begin + count, keys.rows);
    multiply_transposed(rows.row_range(begin, count), keys.row_range(0, seen),
                        to.row_range(begin, count).col_range(0, seen), worker);
  }
}

}  // namespace

DeltaRule::DeltaRule(Arena& arena, Index chunk, Index dim, Index value_dim)
    : state_(arena.take_matrix(dim, value_dim)),
      products_(arena.take_matrix(chunk, chunk)),
      updates_(arena.take_matrix(chunk, value_dim)) {
  std::fill_n(state_.data, dim * value_dim, 0.0f);
}

void DeltaRule::declare(Scratch& scratch, Index chunk, Index dim, Index value_dim) {
  scratch.worker<float>(dim * value_dim)
      .worker<float>(chunk * chunk)
      .worker<float>(chunk * value_dim);
}

std::size_t DeltaRule::read_scratch_bytes(Index chunk, Index dim, Index value_dim) {
  // No product is deeper than these two.
  return std::max(product_scratch_bytes(chunk, value_dim, dim),
                  product_scratch_bytes(dim, value_dim, chunk));
}

void DeltaRule::read(const DeltaChunk& chunk, Worker& worker) {
  const Index tokens = chunk.keys.rows, asked = chunk.queries.rows;
  const View updates = updates_.row_range(0, tokens);
  multiply(chunk.keys, state_, updates, worker);
  multiply_triangle(chunk.keys, chunk.keys, 0, products_, worker);
  solve(chunk, updates, worker);
  if (asked > 0) {
    const Index diagonal = tokens - asked;
    const View scores = products_.row_range(0, asked).col_range(0, tokens);
    multiply_triangle(chunk.queries, chunk.keys, diagonal, scores, worker);
    multiply(chunk.queries, state_, chunk.out, worker);
    multiply_lower(scores, updates, chunk.out, diagonal, worker, true);
  }
  multiply_left_transposed(chunk.keys, updates, state_, worker, 1, true);
}

/// `updates` holds K S and becomes U.
void DeltaRule::solve(const DeltaChunk& chunk, View updates, Worker& worker) const {
  for (Index i = 0; i < updates.rows; ++i) {
    for (Index c = 0; c < updates.cols; ++c) updates(i, c) = chunk.values(i, c) - updates(i, c);
  }
  for (Index first = 0; first < updates.rows; first += kBlock) {
    const Index rows = std::min(kBlock, updates.rows - first);
    if (first > 0) {
      multiply(products_.row_range(first, rows).col_range(0, first), updates.row_range(0, first),
               updates.row_range(first, rows), worker, -1, true);
    }
    for (Index i = first; i < first + rows; ++i) {
      float* const row = updates.row(i);
      for (Index j = first; j < i; ++j) {
        const float product = products_(i, j);
        const float* const earlier = updates.row(j);
        for (Index c = 0; c < updates.cols; ++c) row[c] -= product * earlier[c];
      }
      for (Index c = 0; c < updates.cols; ++c) row[c] *= chunk.betas[i];
    }
    worker.executed.multiply_adds += static_cast<double>(rows * (rows - 1) / 2 * updates.cols);
  }
}

}  // namespace subquad
