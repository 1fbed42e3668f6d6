#pragma once

/// A block in double precision, naive: what the float one is held against. It shares nothing with
/// its kernels.

#include "layers/drawn_tensors.h"
#include "models/block_weights.h"
#include "subquad/eigen.h"

namespace subquad {

using DoubleMatrix = RowMajor<double>;

/// (x - mean) / sqrt(variance + epsilon) gain + bias, row by row.
DoubleMatrix norm_in_double(const DoubleMatrix& rows, const NormTensors& tensors, double epsilon);
/// rows W^T + b, in blocks of rows on a few threads.
DoubleMatrix linear_in_double(const DoubleMatrix& rows, const LinearTensors& tensors);
/// Turns each head's columns by the rotary positions of rows 0, 1, ...
void rotate_in_double(DoubleMatrix& rows, Index dim);

/// What the attention of a block reads, [tokens, width] each; empty where it is not consumed.
struct DoubleAttentionInput {
  DoubleMatrix q, k, v, x;
};
/// Of a sequence whose rows are `x`. x of the result is norm(x).
DoubleAttentionInput attention_input_in_double(const BlockShape& shape, const Consumes& consumes,
                                               const BlockTensors& tensors, const DoubleMatrix& x);
/// z for rows of x and what the attention made of them, [any number, width].
DoubleMatrix finish_in_double(const BlockShape& shape, bool projected, const BlockTensors& tensors,
                              const DoubleMatrix& x, const DoubleMatrix& attended);

/// z of one sequence, [tokens, width], with the attention's own references, which take over the
/// choices that `tensors` hold for `sequence`.
DoubleMatrix block_in_double(const Layer& layer, const DrawnTensors& tensors,
                             const BlockShape& shape, const BlockTensors& block,
                             const DoubleMatrix& x, Index sequence = 0);

}  // namespace subquad
