#pragma once

// Dense attention as a loop over a library's matrix products, in the two forms that frameworks run
// on CPUs: tiles of queries against blocks of keys with a running maximum and sum (the form of
// Rabe and Staats 2021, arXiv:2112.05682; newer PyTorch blocks 256 x 512), or a block of query rows
// against all keys at once. Under causality both leave out blocks of keys that no row of the tile
// sees.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "dense_peer.h"
#include "kernels/rowwise.h"
#include "softmax_rows.h"

namespace subquad {

/// Query rows of one tile by default: what was measured to be best with oneDNN's product. Smaller
/// tiles leave less of the causal triangle to be computed in vain.
inline Index usual_block_queries(const Problem& problem) {
  if (!problem.causal) return 256;
  return problem.queries < 1024 ? 64 : 128;
}

/// Products of float32 matrices, of which a library's has two functions:
///
///     void scores(Rows queries, Rows keys, View scores) const;  // = factor Q K^T, of these rows
///     void values(ConstView weights, ConstView values, bool add, View out) const;  // (+)= weights
///     values
///
/// A product is made anew for every call of `forward` and serves all of its tiles, at once where
/// there are threads.
class FloatProduct {
 public:
  /// Whether what is multiplied is bf16.
  static constexpr bool kBf16 = false;

  static Scratch scratch(const Problem&) { return {}; }
  FloatProduct(const Call& call, float factor) : call_(call), factor_(factor) {}

  /// What `values` multiplies by.
  ConstView values_of(Rows keys) const { return call_.v.row_range(keys.begin, keys.count); }
  /// The same of other values than the call's.
  ConstView converted(ConstView values) const { return values; }
  /// Makes the weights of row `r` what `values` takes, within the memory of rows up to it.
  static void convert_weights(View, Index) {}
  /// A weight so converted.
  static float weight(ConstView weights, Index r, Index key) { return weights(r, key); }

 protected:
  const Call& call_;
  float factor_;
};

/// `Product` has what `FloatProduct` has and says.
template <class Product>
class BlockedAttention : public DensePeer {
 public:
  void parameters(Parameters& visit) override {
    visit("block_queries", block_queries_, at_least(0),
          "query rows of a tile; 0: 256, where causal 128, of fewer than 1024 queries 64");
    visit("block_keys", block_keys_, at_least(0),
          "keys of a block, with a running maximum from block to block; 0: all keys at once");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index rows = tile_rows(problem), keys = most_keys(problem);
    Scratch scratch = Product::scratch(problem);
    scratch.worker<float>(rows).worker<float>(rows).worker<float>(rows * keys);
    if (problem.causal) scratch.worker<float>(rows * problem.value_dim);
    return scratch;
  }

  void forward(const Call& call) const override {
    const Index rows = tile_rows(call.problem);
    // Powers of 2 instead of e take one multiplication less.
    Product product(call, static_cast<float>(call.problem.score_scale() * std::numbers::log2e));
    call.run.parallel((call.problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      const Index begin = tile * rows;
      const Rows queries{begin, std::min(rows, call.problem.queries - begin)};
      Tile(call, queries, most_keys(call.problem), product, worker)
          .attend(block_keys_ == 0 ? call.problem.keys : block_keys_);
    });
  }

 protected:
  BlockedAttention(Index block_queries, Index block_keys)
      : block_queries_(block_queries), block_keys_(block_keys) {}

 private:
  class Tile {
   public:
    Tile(const Call& call, Rows queries, Index most_keys, Product& product, Worker& worker)
        : call_(call),
          queries_(queries),
          product_(product),
          worker_(worker),
          maxima_(worker.scratch.take<float>(queries.count).data()),
          sums_(worker.scratch.take<float>(queries.count).data()),
          scores_(worker.scratch.take<float>(queries.count * most_keys).data()) {}

    void attend(Index block_keys) {
      const Problem& problem = call_.problem;
      // All rows see the keys before `common`, and none sees those from `end` on.
      const Index common =
          problem.causal ? std::min(problem.position(queries_.begin), problem.keys) : problem.keys;
      const Index end = problem.causal
                            ? std::min(problem.position(queries_.last()) + 1, problem.keys)
                            : problem.keys;
      std::fill_n(maxima_, queries_.count, -std::numeric_limits<float>::infinity());
      std::fill_n(sums_, queries_.count, 0.0f);
      for (Index begin = 0; begin < common; begin += block_keys) {
        add_block({begin, std::min(block_keys, common - begin)});
      }
      if (end > common) add_block({common, end - common});
      finish();
    }

   private:
    void add_block(Rows keys) {
      const View scores(scores_, queries_.count, keys.count);
      product_.scores(queries_, keys, scores);
      for (Index r = 0; r < queries_.count; ++r) weigh_row(r, keys, scores);
      multiply_values(keys, scores);
      const double pairs = static_cast<double>(queries_.count) * static_cast<double>(keys.count);
      const double multiply_adds =
          pairs * static_cast<double>(call_.problem.dim + call_.problem.value_dim);
      worker_.executed.multiply_adds += multiply_adds;
      if (Product::kBf16) worker_.executed.bf16_multiply_adds += multiply_adds;
      worker_.executed.exponentials += pairs;
    }

    /// Keys of the block that row `r` of the tile sees: the first ones.
    Index seen_keys(Index r, Rows keys) const {
      const Problem& problem = call_.problem;
      if (!problem.causal) return keys.count;
      return std::clamp<Index>(problem.position(queries_[r]) + 1 - keys.begin, 0, keys.count);
    }

    /// Scores of one row to weights, after what the row has so far is brought to its new maximum.
    void weigh_row(Index r, Rows keys, View scores) {
      float* const row = scores.row(r);
      const Index seen = seen_keys(r, keys);
      std::fill(row + seen, row + keys.count, 0.0f);
      const float largest = max_of({row, static_cast<std::size_t>(seen)});
      if (largest == -std::numeric_limits<float>::infinity()) {
        std::fill_n(row, seen, 0.0f);
      } else {
        if (!(largest <= maxima_[r])) raise_maximum(r, largest, keys.begin > 0);
        sums_[r] += HWY_NAMESPACE::exp2_pass(row, seen, maxima_[r]);
      }
      Product::convert_weights(scores, r);
    }

    void raise_maximum(Index r, float largest, bool has_output) {
      if (has_output) {
        const float factor = std::exp2(maxima_[r] - largest);
        sums_[r] *= factor;
        scale_by({call_.out.row(queries_[r]), static_cast<std::size_t>(call_.out.cols)}, factor);
      }
      maxima_[r] = largest;
    }

    void multiply_values(Rows keys, ConstView weights) {
      const ConstView values = call_.v.row_range(keys.begin, keys.count);
      const View out = call_.out.row_range(queries_.begin, queries_.count);
      const bool add = keys.begin > 0;
      // Where rows do not see all keys of the block, weights of 0 meet their values.
      if (seen_keys(0, keys) == keys.count || all_finite(values)) {
        product_.values(weights, product_.values_of(keys), add, out);
        return;
      }
      const std::size_t mark = worker_.scratch.used();
      product_.values(weights, product_.converted(finite_part(values)), add, out);
      worker_.scratch.rewind(mark);
      add_non_finite(keys, weights, values, out);
    }

    static bool all_finite(ConstView values) {
      // By the bits, which a compiler can compare many at a time.
      constexpr std::uint32_t kMagnitude = 0x7fffffff, kInfinite = 0x7f800000;
      std::uint32_t largest = 0;
      for (Index j = 0; j < values.rows; ++j) {
        const float* const row = values.row(j);
        for (Index c = 0; c < values.cols; ++c) {
          largest = std::max(largest, std::bit_cast<std::uint32_t>(row[c]) & kMagnitude);
        }
      }
      return largest < kInfinite;
    }

    ConstView finite_part(ConstView values) {
      const View copy = worker_.scratch.take_matrix(values.rows, values.cols);
      for (Index j = 0; j < values.rows; ++j) {
        for (Index c = 0; c < values.cols; ++c) {
          copy(j, c) = std::isfinite(values(j, c)) ? values(j, c) : 0;
        }
      }
      return copy;
    }

    /// What `finite_part` left out, for those rows that see it.
    void add_non_finite(Rows keys, ConstView weights, ConstView values, View out) const {
      for (Index r = 0; r < out.rows; ++r) {
        for (Index j = 0; j < seen_keys(r, keys); ++j) {
          for (Index c = 0; c < values.cols; ++c) {
            if (!std::isfinite(values(j, c)))
              out(r, c) += Product::weight(weights, r, j) * values(j, c);
          }
        }
      }
    }

    void finish() {
      for (Index r = 0; r < queries_.count; ++r) {
        float* const row = call_.out.row(queries_[r]);
        const bool none = sums_[r] == 0;
        if (none) {
          std::fill_n(row, call_.out.cols, 0.0f);
        } else {
          scale_by({row, static_cast<std::size_t>(call_.out.cols)}, 1 / sums_[r]);
        }
        if (call_.row_log_sum_exp == nullptr) continue;
        call_.row_log_sum_exp[queries_[r]] =
            none ? -std::numeric_limits<float>::infinity()
                 : static_cast<float>(std::numbers::ln2 * maxima_[r] + std::log(double{sums_[r]}));
      }
    }

    const Call& call_;
    Rows queries_;
    Product& product_;
    Worker& worker_;
    float* maxima_;  ///< [queries], of scores in units of log2
    float* sums_;    ///< [queries]
    float* scores_;  ///< [queries, keys of the block]
  };

  Index tile_rows(const Problem& problem) const {
    const Index rows = block_queries_ == 0 ? usual_block_queries(problem) : block_queries_;
    return std::min(rows, problem.queries);
  }
  /// Keys of the largest block; those that only some rows of a tile see make a block of their own.
  Index most_keys(const Problem& problem) const {
    const Index block = block_keys_ == 0 ? problem.keys : std::min(block_keys_, problem.keys);
    return problem.causal ? std::max(block, std::min(tile_rows(problem), problem.keys)) : block;
  }

  Index block_queries_, block_keys_;
};

}  // namespace subquad
