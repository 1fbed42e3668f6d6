#pragma once

#include <cstdint>
#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Locality-sensitive hashing of directions (Andoni et al. 2015, arXiv:1509.02897, section 2;
/// Kitaev et al. 2020, arXiv:2001.04451, section 2): bucket = argmax of [x R, -x R]. `rotation` is
/// R, [dim, buckets / 2]; column c has bucket c, and its opposite c + buckets / 2. The first
/// largest wins, so rows of zeros, or with a NaN in every product, get bucket 0.
void hash_rows(ConstView rows, ConstView rotation, std::span<std::int32_t> buckets, Worker& worker);

/// Worker scratch that `hash_rows` takes at the most.
std::size_t hash_scratch_bytes(Index rows, Index dim, Index columns);

/// Writes the numbers 0 ... buckets.size() - 1 sorted by (bucket, number), by counting. `starts` is
/// scratch for `bucket_count` + 1 numbers; buckets lie in [0, bucket_count).
void sort_by_bucket(std::span<const std::int32_t> buckets, std::span<std::int32_t> order,
                    std::span<std::int32_t> starts);

}  // namespace subquad
