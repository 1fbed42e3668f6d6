#pragma once

#include <nlohmann/json.hpp>

#include "report/summary.h"

namespace subquad {

/// Pictures of which keys each query sees under the restrictions, oracles and patterns of control
/// that a summary holds, drawn by the variants of this program (records hold no patterns):
///
///     {"input": ..., "panels": [{"variant", "title", "causal", "length", "cells", "shares"}],
///      "left_out": [{"variant", "reason"}]}
///
/// `shares` has a hexadecimal digit per cell, row by row of a square of `cells` x `cells`: which
/// part of its pairs of query and key is seen, in 15ths, rounded up, so that 0 is none at all.
nlohmann::ordered_json pattern_gallery(const Summary& summary);

}  // namespace subquad
