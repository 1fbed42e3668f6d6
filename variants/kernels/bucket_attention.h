#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "subquad/precision.h"
#include "subquad/variant.h"

namespace subquad {

/// Self attention inside buckets, by sorting (Kitaev et al. 2020, arXiv:2001.04451, section 2): in
/// each round, tokens are sorted by (bucket, position) and cut into chunks; queries of a chunk
/// attend to keys of the same chunk and of the one before that lie in their bucket. Rounds merge by
/// their log-sum-exp.
///
/// Where queries and keys are sorted apart, a bucket lies elsewhere among keys than among queries,
/// and chunks are cut in each bucket anew: of Q chunks of queries, number c attends to the chunk of
/// keys as far along, floor(c K / Q) of K, and to the one before. (Across buckets, chunks of all.)
///
/// Where a pair is to count once, the first round that finds it has it: the same sum as where each
/// of N rounds counts it with weight 1 / N.
///
/// Tokens of one bucket in one chunk make up a tile: they see the same keys, which need no mask.
struct BucketAttention {
  static constexpr Index kMaxRounds = 64;

  Index rounds;         ///< at most kMaxRounds
  Index buckets;        ///< of each round
  Index chunk;          ///< sorted tokens of a chunk
  bool shared_keys;     ///< keys are the queries, scaled to length 1; q and v are read, k is not
  bool across_buckets;  ///< attend to whatever lies in the two chunks
  bool duplicates;      ///< a key that several rounds find counts as often, else once
  bool wrap;            ///< the first chunk looks back at the last
  double scale;         ///< of scores
  double self_penalty;  ///< with shared keys: taken off the score of a token with itself
  Precision precision = Precision::f32;

  /// Why so many chunks and buckets cannot be told apart, or empty.
  std::string refuses(const Problem& problem) const;
  Scratch scratch(const Problem& problem) const;
  /// Buckets are [rounds, n]; with shared keys both spans are the same one, and `query_factors` [n]
  /// scale queries to length 1 (hashing.h); otherwise they are empty. Writes `out` and
  /// `row_log_sum_exp` of the call; a query that finds no key gets 0 and -infinity.
  void forward(const Call& call, std::span<const std::int32_t> query_buckets,
               std::span<const std::int32_t> key_buckets,
               std::span<const float> query_factors) const;
};

}  // namespace subquad
