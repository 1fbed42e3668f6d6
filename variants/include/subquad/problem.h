#pragma once

#include <cmath>
#include <string>

#include "subquad/view.h"

namespace subquad {

/// Shape and mask of the attention of one head (of one whole layer for `Scope::layer`, where `dim`
/// and `value_dim` are the layer's width: heads x dim columns).
struct Problem {
  Index queries = 0;    ///< rows of Q and of the output
  Index keys = 0;       ///< rows of K and of V
  Index dim = 0;        ///< columns of Q and of K
  Index value_dim = 0;  ///< columns of V and of the output
  bool causal = false;  ///< query at position p sees keys 0 ... p only
  /// Position of the first query among the keys, so that queries may be the last of the keys
  /// (decoding, sharding by rows). 0 in ordinary self attention.
  Index first_query = 0;
  double scale = 0;  ///< factor of the scores; 0 stands for 1 / sqrt(dim)

  /// Factor that scores are multiplied by.
  double score_scale() const {
    return scale != 0 ? scale : 1.0 / std::sqrt(static_cast<double>(dim));
  }
  /// Position among the keys of query row `i`.
  Index position(Index i) const { return first_query + i; }
  /// Queries and keys are the same tokens.
  bool self_attention() const { return first_query == 0 && queries == keys; }
  /// The mask alone: may query row `i` see key `j`?
  bool sees(Index i, Index j) const { return !causal || j <= position(i); }
  /// Number of (query, key) pairs that the mask leaves.
  double pairs() const {
    if (!causal) return static_cast<double>(queries) * static_cast<double>(keys);
    double total = 0;
    for (Index i = 0; i < queries; ++i) {
      const Index seen = position(i) + 1;
      total += static_cast<double>(seen < 0 ? 0 : seen < keys ? seen : keys);
    }
    return total;
  }

  friend bool operator==(const Problem&, const Problem&) = default;
};

}  // namespace subquad
