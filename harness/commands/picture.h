#pragma once

#include <vector>

#include "commands/command.h"
#include "expressions/expression.h"

namespace subquad {

/// `options` and those that `draw_picture` reads.
std::vector<OptionSpec> picture_options(std::vector<OptionSpec> options);

/// Draws which keys each query sees under a layer expression, or its attention matrices, into the
/// file that --picture names. Throws Error for what has no such matrix, and where the file cannot
/// be drawn.
void draw_picture(const Expression& expression, const ParsedOptions& options);

}  // namespace subquad
