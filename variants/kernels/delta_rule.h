#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Consecutive tokens, of which the last `queries.rows` are asked.
struct DeltaChunk {
  ConstView keys;      ///< [tokens, dim]
  ConstView values;    ///< [tokens, value_dim]
  const float* betas;  ///< [tokens]
  ConstView queries;   ///< [asked, dim], asked <= tokens
  View out;            ///< [asked, value_dim]
};

/// The delta rule (Schlag et al. 2021, arXiv:2102.11174, section 4): a token first takes
/// away what its key recalls, then writes its value,
///
///   u_t = beta_t (v_t - S_(t-1)^T k_t),   S_t = S_(t-1) + k_t u_t^T,   out_t = S_t^T q_t.
///
/// Chunks of tokens by matrix products (Yang et al. 2024, arXiv:2406.06484, section 3.2): with
/// tril(A, -1) what is below the diagonal of A, the chunk's U solves
///
///   (I + diag(beta) tril(K K^T, -1)) U = diag(beta) (V - K S),
///
/// here by forward substitution, and then out = Q S + tril(Q K^T) U, S += K^T U. Nothing of a later
/// token touches what an earlier one gives.
class DeltaRule {
 public:
  /// From S = 0, for chunks of up to `chunk` tokens, in memory from `arena`.
  DeltaRule(Arena& arena, Index chunk, Index dim, Index value_dim);
  /// The worker scratch that this takes and keeps.
  static void declare(Scratch& scratch, Index chunk, Index dim, Index value_dim);
  /// And what `read` takes beside it while it runs.
  static std::size_t read_scratch_bytes(Index chunk, Index dim, Index value_dim);

  void read(const DeltaChunk& chunk, Worker& worker);

 private:
  void solve(const DeltaChunk& chunk, View updates, Worker& worker) const;

  View state_;     ///< S [dim, value_dim]
  View products_;  ///< [chunk, chunk]: K K^T, then Q K^T
  View updates_;   ///< U [chunk, value_dim]
};

}  // namespace subquad
