#pragma once

#include <vector>

#include "layers/layer.h"

namespace subquad {

/// The calls of one sequence, those together that read the same keys by the same variant without
/// tensors that would tell them apart: work on keys that is done for one of them (`prepare`, the
/// state of a decoder) serves all. Each call is in one group; groups and their calls in order.
std::vector<std::vector<Index>> calls_sharing_keys(const Layer& layer, Index key_heads);

}  // namespace subquad
