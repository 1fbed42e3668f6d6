#pragma once

#include <span>

#include "subquad/eigen.h"
#include "subquad/variant.h"

namespace subquad {

/// What fitting has in common: least squares over calibration windows, in double. None of this runs
/// in a forward pass; it allocates as it likes.

/// Exact attention matrices [queries, keys] of the windows, their mean: of all matrices of weights
/// that do not depend on the input, the one at the least Kullback-Leibler divergence from them.
/// Rows sum to 1; weights of pairs that the mask hides are 0. At least one window, each with
/// `problem`'s shape.
RowMajor<double> mean_attention(const Problem& problem, std::span<const Window> windows);

}  // namespace subquad
