#pragma once

#include "subquad/variant.h"

namespace subquad {

/// Maps rows of Q and of K to non-negative features, whose inner product stands for the exponential
/// of a score.
class FeatureMap {
 public:
  virtual ~FeatureMap() = default;
  /// Features of a row that has `dim` columns.
  virtual Index features(Index dim) const = 0;
  /// rows [count, dim] to features [count, features(dim)], contiguous rows. Adds its work to
  /// `worker.executed`; may take worker scratch of up to `scratch_bytes(count, dim)`.
  virtual void map_queries(ConstView rows, View features, Worker& worker) const = 0;
  virtual void map_keys(ConstView rows, View features, Worker& worker) const = 0;
  virtual std::size_t scratch_bytes(Index /*count*/, Index /*dim*/) const { return 0; }
};

/// Attention by features phi (Katharopoulos et al. 2020, arXiv:2006.16236, section 3.2):
///
///   out_i = phi(q_i)^T S_i / (phi(q_i)^T z_i + epsilon),
///   S_i = sum over seen j of phi(k_j) v_j^T,  z_i = sum over seen j of phi(k_j).
///
/// Without causality S and z are the same for all queries. With it, queries go in chunks: keys
/// before the chunk are in a state that is carried from chunk to chunk, keys inside it are reached
/// by a triangular product, so all the work is matrix products. Keys (and causal queries) are cut
/// into at most `kLinearSegments` segments that start from the states of the segments before them.
struct LinearAttention {
  const FeatureMap& map;
  Index chunk;     ///< rows of a chunk, at least 1
  double epsilon;  ///< added to the normaliser

  Scratch scratch(const Problem& problem) const;
  /// Reads q, k, v, problem and run of the call, and writes its `out`.
  void forward(const Call& call) const;
};

/// Segments at the most. Each holds one state, so scratch does not grow with the length.
inline constexpr Index kLinearSegments = 16;

}  // namespace subquad
