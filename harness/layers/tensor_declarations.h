#pragma once

#include <string>
#include <vector>

#include "layers/drawn_tensors.h"

namespace subquad {

/// A tensor as a variant declares it.
struct TensorDeclaration {
  std::string name;
  Shape shape;
  Initialiser initialiser;
  Role role;
  Sharing sharing;
  std::string doc;
  bool is_integer;

  /// Written by each call of `forward`, so every sequence has its own.
  bool belongs_to_sequence() const { return role == Role::choice || role == Role::saved; }
};

/// What `variant` declares for `problem`, in its order. A name declared twice, a negative extent or
/// a missing initialiser is a bug of the variant (std::logic_error).
std::vector<TensorDeclaration> declared_tensors(const Variant& variant, const Problem& problem);

/// "[2, 64]", after an axis of `heads` where that is not 0.
std::string shape_text(const Shape& shape, Index heads = 0);

}  // namespace subquad
