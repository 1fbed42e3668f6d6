#pragma once

#include <vector>

#include "commands/command.h"
#include "expressions/expression.h"
#include "inputs/input.h"
#include "layers/drawn_tensors.h"
#include "layers/layer.h"

namespace subquad {

/// `options` and those that `draw_picture` reads.
std::vector<OptionSpec> picture_options(std::vector<OptionSpec> options);

/// Draws which keys each query sees under a layer expression, or its attention matrices, into the
/// file that --picture names. Throws Error for what has no such matrix, and where the file cannot
/// be drawn.
void draw_picture(const Expression& expression, const ParsedOptions& options);

/// Draws the attention weights of each head on the first sequence of an input into `picture`, with
/// the choices that `tensors` hold. What `require_weights_picture` lets pass can be drawn; a file
/// that cannot be written throws Error.
void draw_weights(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                  const std::string& picture);
/// Throws Error where a head has no attention matrix, where there are too many or too large ones to
/// be seen, and where no picture can have that name.
void require_weights_picture(const Layer& layer, const LayerInput& input,
                             const std::string& picture);
OptionSpec weights_picture_option();

}  // namespace subquad
