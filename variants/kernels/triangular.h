#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// c [m, n] = or, with `accumulate`, += the product of a [m, k] and b [k, n] in which row i of `a`
/// has elements 0 ... diagonal + i only. Elements of `a` beyond that are not read, and rows of `b`
/// are read only for rows of `c` that use them: what causality hides may hold anything, NaN
/// included, without reaching the result. `diagonal` may be negative (rows that use nothing).
void multiply_lower(ConstView a, ConstView b, View c, Index diagonal, Worker& worker,
                    bool accumulate = false);

/// Worker scratch that `multiply_lower` takes.
std::size_t multiply_lower_scratch_bytes(Index m, Index n, Index k, Index diagonal);

}  // namespace subquad
