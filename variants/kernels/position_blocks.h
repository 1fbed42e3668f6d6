#pragma once

#include <numeric>

#include "subquad/problem.h"

namespace subquad {

/// `QueryPass::block` for patterns made of blocks of positions: the largest number of rows such
/// that no tile straddles a multiple of `block` among the *positions*. The whole block where the
/// first query stands at a multiple of it; where queries begin within a block, tiles get shorter.
inline Index rows_within_blocks(Index block, const Problem& problem) {
  return std::gcd(block, problem.first_query);
}

/// Blocks that so many positions are cut into; the last may be shorter.
inline Index block_count(Index positions, Index block) { return (positions + block - 1) / block; }

}  // namespace subquad
