#pragma once

#include <string>

#include "subquad/run.h"
#include "subquad/variant.h"

namespace subquad {

/// What oracles that decompose the attention matrix start from, in double precision.
struct SoftmaxMatrix {
  MatrixView<double> weights;       ///< [queries, keys]: every query sees every key
  MatrixView<const double> values;  ///< [keys, value_dim]
  MatrixView<double> out;           ///< [queries, value_dim], contents undefined
};

/// Takes it from the shared arena.
SoftmaxMatrix softmax_matrix(const Call& call);
Scratch softmax_matrix_scratch(const Problem& problem);

/// [queries, value_dim], rounded to float.
void round_to(View to, MatrixView<const double> from);

/// Why the whole matrix of this problem is not to be had, or empty: it would be too large, or it is
/// causal. What is best among matrices of a rank, or of a rank beside a sparse part, has weight
/// above the diagonal, and depends on all rows at once, so no earlier row could be had without
/// later tokens. Nor would it bound causal methods: they hide the upper triangle of a matrix of low
/// rank, as the mean of the values so far does, which comes to a matrix of full rank.
std::string refuses_softmax_matrix(const Problem& problem);
inline constexpr Index kSoftmaxMatrixLength = 4096;

}  // namespace subquad
