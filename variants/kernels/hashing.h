#pragma once

#include <cstdint>
#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Locality-sensitive hashing of directions (Andoni et al. 2015, arXiv:1509.02897, section 2;
/// Kitaev et al. 2020, arXiv:2001.04451, section 2), in several rounds: a hash is the argmax of
/// [x R, -x R]; column c of R has value c, and its opposite c + (columns of R). The first largest
/// wins, so rows of zeros, or with a NaN in every product, get value 0.
///
/// A round makes its buckets of one hash, or of two (first * second buckets from first + second
/// directions and opposites): bucket = second * (first hash) + (second hash).
struct DirectionHash {
  Index rounds = 1;
  Index first = 2;   ///< values of the first hash, even
  Index second = 1;  ///< of the second, even; 1: there is none

  Index buckets() const { return first * second; }
  /// Columns of R in one round, those of the first hash before those of the second.
  Index directions() const { return first / 2 + second / 2; }

  /// Buckets of some rows: that of row i in round r goes to buckets[r * stride + i]. `rotations` is
  /// [dim, rounds * directions], round by round.
  void operator()(ConstView rows, ConstView rotations, std::int32_t* buckets, Index stride,
                  Worker& worker) const;
  /// Worker scratch that this takes at the most.
  std::size_t scratch_bytes(Index rows, Index dim) const;
};

/// What scales each row to length 1; 0 for a row of zeros.
void inverse_lengths(ConstView rows, std::span<float> factors);

/// Writes the numbers 0 ... buckets.size() - 1 sorted by (bucket, number), by counting. Buckets lie
/// in [0, ends.size()); afterwards ends[b] is the place after the last number of bucket b.
void sort_by_bucket(std::span<const std::int32_t> buckets, std::span<std::int32_t> order,
                    std::span<std::int32_t> ends);

}  // namespace subquad
