#include "kernels/hashing.h"

#include <algorithm>
#include <limits>

#include "kernels/product.h"

namespace subquad {
namespace {

/// Columns of R that are looked at together.
constexpr Index kColumns = 256;

}  // namespace

std::size_t hash_scratch_bytes(Index rows, Index dim, Index columns) {
  const Index block = std::min(columns, kColumns);
  return Scratch()
      .worker<float>(rows * block)
      .worker<float>(rows)
      .worker<std::byte>(static_cast<Index>(product_scratch_bytes(rows, block, dim)))
      .worker_bytes;
}

void hash_rows(ConstView rows, ConstView rotation, std::span<std::int32_t> buckets,
               Worker& worker) {
  const std::size_t mark = worker.scratch.used();
  const Index block = std::min(rotation.cols, kColumns);
  const View projected = worker.scratch.take_matrix(rows.rows, block);
  const std::span<float> best = worker.scratch.take<float>(rows.rows);
  std::fill(best.begin(), best.end(), -std::numeric_limits<float>::infinity());
  std::fill(buckets.begin(), buckets.end(), 0);
  for (Index begin = 0; begin < rotation.cols; begin += block) {
    const Index columns = std::min(block, rotation.cols - begin);
    multiply(rows, rotation.col_range(begin, columns), projected.col_range(0, columns), worker);
    for (Index i = 0; i < rows.rows; ++i) {
      for (Index c = 0; c < columns; ++c) {
        const float value = projected(i, c);
        if (value > best[i]) {
          best[i] = value;
          buckets[i] = static_cast<std::int32_t>(begin + c);
        }
        if (-value > best[i]) {
          best[i] = -value;
          buckets[i] = static_cast<std::int32_t>(begin + c + rotation.cols);
        }
      }
    }
  }
  worker.scratch.rewind(mark);
}

void sort_by_bucket(std::span<const std::int32_t> buckets, std::span<std::int32_t> order,
                    std::span<std::int32_t> starts) {
  std::fill(starts.begin(), starts.end(), 0);
  for (const std::int32_t bucket : buckets) ++starts[bucket + 1];
  for (std::size_t b = 1; b < starts.size(); ++b) starts[b] += starts[b - 1];
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    order[starts[buckets[i]]++] = static_cast<std::int32_t>(i);
  }
}

}  // namespace subquad
