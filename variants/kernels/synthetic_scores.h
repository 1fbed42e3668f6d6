#pragma once

#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Scores for softmax attention that are made rather than compared: a weighted sum of terms, none
/// of which is ever a whole matrix in scratch. Row i belongs to token i, which is query and key.
struct SyntheticScores {
  /// weight * rows keys^T, where rows = relu(input layer^T), or the input itself without a layer.
  struct Product {
    ConstView input;  ///< [tokens, columns]
    ConstView layer;  ///< [inner, columns] or empty
    ConstView keys;   ///< [tokens, inner]
    float weight = 1;
  };
  /// weight * matrix.
  struct Matrix {
    ConstView scores;  ///< [tokens, tokens]
    float weight = 1;
  };
  /// weight * a_(j / b) b_(j mod b) for key j, from the two short vectors that a token has by
  /// a = first h and b = second h, h = relu(layer input).
  struct Outer {
    ConstView input;   ///< [tokens, columns]
    ConstView layer;   ///< [inner, columns]
    ConstView first;   ///< [tokens / b, rounded up, inner]
    ConstView second;  ///< [b, inner]
    float weight = 1;
  };

  std::span<const Product> products;
  std::span<const Matrix> matrices;
  const Outer* outer = nullptr;  ///< or none

  /// out = softmax(scores) v, [tokens, value_dim] both. Where causal, what later tokens hold
  /// reaches no bit of earlier ones.
  void attend(ConstView v, View out, bool causal, Run& run) const;
  /// What `attend` takes. Of the views only extents matter.
  Scratch scratch(Index tokens, Index value_dim) const;

 private:
  Index features() const;  ///< inner extents of all products side by side
  Index tile_rows(Index tokens, Index value_dim) const;
  ConstView joined_keys(Index tokens, Run& run) const;
  std::size_t layer_bytes(Index rows) const;
};

}  // namespace subquad
