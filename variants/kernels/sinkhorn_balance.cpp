#include "kernels/sinkhorn_balance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/rowwise.h"

namespace subquad {
namespace {

/// Rows, or columns, of a tile.
constexpr Index kTile = 64;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

Index tile_count(Index lines) { return (lines + kTile - 1) / kTile; }

class Pass {
 public:
  Pass(const SinkhornBalance& options, View logits, Run& run)
      : options_(options), logits_(logits), run_(run) {}

  void rows() {
    run_.parallel(tile_count(logits_.rows), [&](Index tile, Worker& worker) {
      const Index end = std::min((tile + 1) * kTile, logits_.rows);
      for (Index i = tile * kTile; i < end; ++i) {
        const std::span<float> row = seen_part(i);
        const std::span<float> copy = worker.scratch.take<float>(logits_.cols).first(row.size());
        std::copy(row.begin(), row.end(), copy.begin());
        const float log_sum = softmax_in_place(copy);
        for (float& value : row) value -= log_sum;
        worker.executed.exponentials += static_cast<double>(row.size());
        worker.scratch.rewind(0);
      }
    });
  }

  void columns() {
    run_.parallel(tile_count(logits_.cols), [&](Index tile, Worker& worker) {
      const Index begin = tile * kTile, count = std::min(kTile, logits_.cols - begin);
      if (options_.causal) {
        running_columns(begin, count, worker);
      } else {
        whole_columns(begin, count, worker);
      }
    });
  }

  void exponentials() {
    run_.parallel(tile_count(logits_.rows), [&](Index tile, Worker& worker) {
      const Index end = std::min((tile + 1) * kTile, logits_.rows);
      for (Index i = tile * kTile; i < end; ++i) {
        const std::span<float> row = seen_part(i);
        exp_minus(row, 0);
        std::fill(logits_.row(i) + row.size(), logits_.row(i) + logits_.cols, 0.0f);
        worker.executed.exponentials += static_cast<double>(row.size());
      }
    });
  }

 private:
  std::span<float> seen_part(Index row) const {
    const Index count = options_.causal ? std::min(row, logits_.cols) : logits_.cols;
    return {logits_.row(row), static_cast<std::size_t>(count)};
  }

  void whole_columns(Index begin, Index count, Worker& worker) const {
    const View part = logits_.col_range(begin, count);
    const std::span<float> largest = worker.scratch.take<float>(count);
    const std::span<float> sums = worker.scratch.take<float>(count);
    const std::span<float> terms = worker.scratch.take<float>(count);
    std::fill(largest.begin(), largest.end(), kMinusInfinity);
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (Index i = 0; i < part.rows; ++i) {
      for (Index j = 0; j < count; ++j) largest[j] = std::max(largest[j], part(i, j));
    }
    for (Index i = 0; i < part.rows; ++i) {
      for (Index j = 0; j < count; ++j) terms[j] = part(i, j) - largest[j];
      exp_minus(terms, 0);
      for (Index j = 0; j < count; ++j) sums[j] += terms[j];
    }
    for (Index j = 0; j < count; ++j) sums[j] = largest[j] + std::log(sums[j]);
    for (Index i = 0; i < part.rows; ++i) {
      for (Index j = 0; j < count; ++j) part(i, j) -= sums[j];
    }
    worker.executed.exponentials += static_cast<double>(part.rows * count);
  }

  /// Divides by sums over the rows so far, as they were before this pass.
  void running_columns(Index begin, Index count, Worker& worker) const {
    const std::span<float> largest = worker.scratch.take<float>(count);
    const std::span<float> sums = worker.scratch.take<float>(count);
    std::fill(largest.begin(), largest.end(), kMinusInfinity);
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (Index i = begin + 1; i < logits_.rows; ++i) {
      const Index seen = std::min(i - begin, count);
      for (Index j = 0; j < seen; ++j) {
        float& value = logits_(i, begin + j);
        const float most = std::max(largest[j], value);
        sums[j] = sums[j] * std::exp(largest[j] - most) + std::exp(value - most);
        largest[j] = most;
        value -= most + std::log(sums[j]);
      }
      worker.executed.exponentials += 2 * static_cast<double>(seen);
    }
  }

  const SinkhornBalance& options_;
  View logits_;
  Run& run_;
};

}  // namespace

Scratch SinkhornBalance::scratch(Index rows, Index cols) const {
  const Scratch of_rows = Scratch().worker<float>(cols);
  const Index width = std::min(kTile, cols);
  const Scratch of_columns =
      Scratch().worker<float>(width).worker<float>(width).worker<float>(causal ? 0 : width);
  Scratch scratch;
  scratch.worker_bytes = rows == 0 ? 0 : std::max(of_rows.worker_bytes, of_columns.worker_bytes);
  return scratch;
}

void SinkhornBalance::run(View logits, Run& run) const {
  Pass pass(*this, logits, run);
  for (Index iteration = 0; iteration < iterations; ++iteration) {
    pass.rows();
    pass.columns();
  }
  if (causal) pass.rows();
  pass.exponentials();
}

}  // namespace subquad
