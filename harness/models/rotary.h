#pragma once

#include <span>

#include "subquad/view.h"

namespace subquad {

/// Rotary positions (Su et al. 2021, "RoFormer", arXiv:2104.09864, equation 15): the pair
/// (x[2i], x[2i + 1]) of the row at position p is turned by p 10000^(-2i / dim). dim is even.

/// [positions, dim]: cosine and sine of each pair, side by side.
void fill_rotary_table(Index positions, Index dim, float* table);
/// Turns rows that stand at positions first, first + 1, ...
void rotate_rows(View rows, const float* table, Index first);

}  // namespace subquad
