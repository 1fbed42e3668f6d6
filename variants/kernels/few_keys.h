#pragma once

#include <span>

#include "kernels/streaming_softmax.h"
#include "subquad/variant.h"

namespace subquad {

/// A few rows that stand for all keys and values: made once, read by every query, and by all query
/// heads that share the keys.
struct FewKeys {
  View keys;    ///< [rows, dim]
  View values;  ///< [rows, value_dim]

  FewKeys() = default;
  FewKeys(Arena& arena, Index rows, const Problem& problem)
      : keys(arena.take_matrix(rows, problem.dim)),
        values(arena.take_matrix(rows, problem.value_dim)) {}
  /// In what `prepare` fills, or has filled: `bytes` of memory.
  FewKeys(std::span<const std::byte> prepared, Index rows, const Problem& problem);

  static std::size_t bytes(Index rows, const Problem& problem) {
    return Scratch()
        .shared<float>(rows * problem.dim)
        .shared<float>(rows * problem.value_dim)
        .shared_bytes;
  }

  /// As they were prepared, or else made by make(FewKeys) in shared scratch of `bytes`.
  template <class Make>
  static FewKeys of(const Call& call, Index rows, const Make& make) {
    if (!call.prepared.empty()) return {call.prepared, rows, call.problem};
    const FewKeys few(call.run.shared(), rows, call.problem);
    make(few);
    return few;
  }
};

/// Softmax attention of all queries over all rows of `operands.k`, tile by tile. Keys are packed
/// once if several tiles read them.
void attend_all(SoftmaxOperands operands, Run& run);
/// Shared scratch that it takes is added, that of workers is the larger of both.
void declare_attend_all(Index queries, Index keys, Index dim, Index value_dim, Scratch& scratch);

}  // namespace subquad
