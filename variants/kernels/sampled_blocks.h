#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "subquad/precision.h"
#include "subquad/variant.h"

namespace subquad {

/// Consecutive tokens, or places in a list.
struct Segment {
  Index begin = 0, end = 0;

  Index size() const { return end - begin; }
  bool has(Index i) const { return begin <= i && i < end; }
  template <class T>
  std::span<T> of(std::span<T> all) const {
    return all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size()));
  }
};

/// Queries that attend to keys without a mask, by blocks and samples.
struct Square {
  Segment queries, keys;
  Index blocks = 0;  ///< 0: there is no such square
  Index number = 0;  ///< of its row in the tensor of samples

  /// Places, in sorted order, of one block of a side.
  Segment part(const Segment& side, Index block) const {
    return {block * side.size() / blocks, (block + 1) * side.size() / blocks};
  }
};

/// Attention by sorted blocks and sampled keys (Han et al. 2023, arXiv:2310.05869, algorithms 3 and
/// 4): queries and keys of a square are sorted by the given places and cut into equally many
/// blocks; a query attends to the keys of its block, and to the sampled keys outside it, each of
/// which stands for several. Not causal, all is one square. Causal, the tokens are halved level by
/// level into pieces of at most `min_length`, which attend exactly; the later half of a longer
/// piece, as queries, and the earlier one, as keys, are a square. Parts merge by their log-sum-exp.
struct SampledBlocks {
  const Problem& problem;
  Index block;         ///< keys of a block, at the most
  Index samples;       ///< sampled keys of a square, at the most
  Index places;        ///< of a hash: numbers in [0, places)
  Index min_length;    ///< causal: tokens that are not halved
  bool stand_for_all;  ///< samples stand for all keys of the square, or for those outside the block
  Precision precision;

  /// Levels of squares; 0 where all is exact.
  Index levels() const;
  /// Squares of a level, and pieces that the levels before leave.
  Index count(Index level) const { return Index{1} << level; }
  Index squares() const { return count(levels()) - 1; }
  /// Square `i` of a level.
  Square square(Index level, Index i) const;
  /// Piece `i` of what the levels before leave; empty where a larger one was short enough.
  Segment piece(Index level, Index i) const;

  /// Columns of the tensor of samples.
  Index width() const { return levels() == 0 ? 0 : std::min(samples, square(0, 0).keys.size()); }
  /// A square's part of that tensor [squares, width].
  template <class T>
  std::span<T> samples_of(const Square& one, std::span<T> all) const {
    const Index begin = one.number * width();
    return Segment{begin, begin + std::min(width(), one.keys.size())}.of(all);
  }
  /// Logarithm of what a sampled key counts, of `drawn` of which `outside` lie outside the block.
  double log_weight(const Square& one, Index block_keys, Index outside, Index drawn) const;

  template <class Body>
  void each_square(const Body& body) const {
    for (Index level = 0; level < levels(); ++level) {
      for (Index i = 0; i < count(level); ++i) {
        const Square one = square(level, i);
        if (one.blocks > 0) body(one);
      }
    }
  }
  /// Causal pieces that attend exactly.
  template <class Body>
  void each_exact_piece(const Body& body) const {
    for (Index level = 0; problem.causal && level <= levels(); ++level) {
      for (Index i = 0; i < count(level); ++i) {
        const Segment range = piece(level, i);
        if (range.size() > 0 && range.size() <= min_length) body(range);
      }
    }
  }

  /// Queries that a tile holds at the most.
  Index tile_rows() const;
  Scratch scratch() const;
  /// Writes the call's `out`. `query_places` is [queries], `key_places` [keys]; `drawn` is
  /// [squares, width]: sampled keys, ascending, counted from the first of the square.
  void forward(const Call& call, std::span<const std::int32_t> query_places,
               std::span<const std::int32_t> key_places, std::span<const std::int32_t> drawn) const;
};

}  // namespace subquad
