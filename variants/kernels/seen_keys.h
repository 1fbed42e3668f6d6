#pragma once

#include <algorithm>

#include "subquad/problem.h"

namespace subquad {

/// Keys that some query sees.
inline double seen_keys(const Problem& problem) {
  const Index last = problem.position(problem.queries);
  return static_cast<double>(problem.causal ? std::min(problem.keys, last) : problem.keys);
}

/// Rows that a feature map is applied to: all queries and the keys that are seen.
inline double mapped_rows(const Problem& problem) {
  return static_cast<double>(problem.queries) + seen_keys(problem);
}

/// Compulsory bytes of Q, of K and V where they are seen, and of the output.
inline double mapped_bytes(const Problem& problem) {
  return sizeof(float) * mapped_rows(problem) *
         static_cast<double>(problem.dim + problem.value_dim);
}

}  // namespace subquad
