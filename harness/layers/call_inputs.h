#pragma once

#include <vector>

#include "inputs/input.h"
#include "layers/guarded_memory.h"
#include "layers/layer.h"

namespace subquad {

/// Throws Error where `input` is not what `layer` was made for, naming the extent.
void check_input(const Layer& layer, const LayerInput& input);
/// Likewise, but for the number of heads and for lengths.
void check_extents(const Layer& layer, const LayerInput& input);

/// The problem that a call of `layer` sees on one sequence. Where fewer keys count, keys beyond are
/// cut off; in self attention so are the queries, and where queries begin at a later position,
/// those that stand beyond the last key (none may be left).
Problem sequence_problem(const Layer& layer, const LayerInput& input, Index sequence);

/// What one call reads: rows that count only, nothing that the variant does not consume.
struct CallInputs {
  ConstView q, k, v, x;
  /// Matrices put together for `Scope::layer`, of which none is copied that lies `by_row`.
  std::vector<GuardedMemory> owned;
};
CallInputs inputs_of_call(const Layer& layer, const LayerInput& input, Index sequence, Index call);

}  // namespace subquad
