#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "layers/layer.h"

namespace subquad {

/// Neighbours that are alike, as in text: what hashing and clustering look for is there.
inline constexpr const char* kPatternInput = "smooth(correlation=0.8)";

struct PatternRequest {
  std::string input = kPatternInput;  ///< expression
  Index length = 0;                   ///< queries and keys
  bool causal = false;
  std::uint64_t seed = 0;  ///< of the input and of drawn tensors
};

/// Which keys each query attends to under a layer expression, and how much.
struct AttentionPatterns {
  struct Panel {
    std::string title;            ///< the variant, as written
    bool seen_only = false;       ///< what counts is which weights are 0: it leaves out keys
    std::vector<double> weights;  ///< [queries, keys]
  };
  Problem problem;
  std::vector<Panel> panels;  ///< one for each different variant, on the first head that it serves
};

/// Runs the layer, for the choices that it makes. Throws Error for what cannot be made, what
/// refuses, and what has no such matrix.
AttentionPatterns attention_patterns(const Expression& expression, const PatternRequest& request);

/// Throws Error where a head has no attention matrix.
void require_weights(const Layer& layer);

}  // namespace subquad
