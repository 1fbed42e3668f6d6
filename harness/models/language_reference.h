#pragma once

#include <cstdint>
#include <span>

#include "models/language_weights.h"

namespace subquad {

/// The logits of the model with its own attention, in double: `logits` [rows.size(), 256] are those
/// of the byte that follows byte rows[i] of a window. Written from the formulas in
/// language_weights.h with Eigen's products; nothing of block.h or of the kernels is used.
void reference_logits(const LanguageWeights& weights, std::span<const std::uint8_t> bytes,
                      std::span<const Index> rows, MatrixView<double> logits);

}  // namespace subquad
