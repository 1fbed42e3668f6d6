#pragma once

#include <string>
#include <vector>

#include "layers/drawn_tensors.h"

namespace subquad {

/// What `variant` declares for `problem`, in its order. A name declared twice, a negative extent or
/// a missing initialiser is a bug of the variant (std::logic_error).
std::vector<TensorDeclaration> declared_tensors(const Variant& variant, const Problem& problem);

/// "[2, 64]", after an axis of `heads` where that is not 0.
std::string shape_text(const Shape& shape, Index heads = 0);

}  // namespace subquad
