#pragma once

#include <cstdint>
#include <optional>

#include "inputs/input.h"
#include "layers/drawn_tensors.h"
#include "layers/layer.h"

namespace subquad {

/// How far a layer's float result is from its own double reference, apart from any approximation.
struct ArithmeticCheck {
  double error = -1;     ///< relative Frobenius norm, over all heads taken; -1 not taken
  double tolerance = 0;  ///< what a correct program stays below
  Index queries = 0;
};

/// Factor of the tolerance kArithmeticFactor * epsilon * max(1, largest |logit|), epsilon that of
/// float: docs/measuring.md derives it.
inline constexpr double kArithmeticFactor = 64;
/// What is added to kArithmeticFactor * epsilon for each unit of `Variant::operand_roundoff`.
inline constexpr double kOperandFactor = 8;
inline constexpr Index kArithmeticRows = 256;
inline constexpr Index kArithmeticHeads = 2;
double arithmetic_tolerance(const Layer& layer, double largest_logit);

/// What is left of `whole` where so many leading rows are taken, at most kArithmeticRows.
Problem leading_problem(const Problem& whole, Index length);
/// The layer, with its parameters as resolved, on a smaller problem; nothing where it cannot.
std::optional<Layer> smaller_layer(const Layer& layer, const Problem& problem, Index heads);

/// Runs the layer, with its parameters as resolved on the whole problem, on the leading rows of the
/// first sequence: forward, or decoding the last `decoded_tokens` of them with heads that share
/// keys as they do on the whole. With tensors drawn for those rows; where these are all rows, and
/// its tensors are fitted or loaded, with `tensors`, which are its own. Not taken where the layer
/// cannot do a problem so small.
ArithmeticCheck check_arithmetic(const Layer& layer, const LayerInput& input,
                                 const DrawnTensors& tensors, std::uint64_t seed,
                                 Index decoded_tokens = 0);

}  // namespace subquad
