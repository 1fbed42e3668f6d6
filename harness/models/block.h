#pragma once

/// A pre-norm transformer block around any layer. With x the block's input, [rows, width]:
///
///     y = x + attention(norm(x)) W_o^T
///     z = y + gelu(norm(y) W_up^T + b_up) W_down^T + b_down
///
/// attention reads its q, k, v from the projections that it consumes (`projections_of`), and as the
/// layer's input norm(x): its own columns of it per head, all of them for `Scope::layer`. GELU is
/// the exact one. docs/block.md counts work and bytes.

#include <memory>

#include "layers/executor.h"
#include "models/block_weights.h"

namespace subquad {

/// What a block holds between its products, for one pass at a time: blocks of one shape, one after
/// the other, may share it where they project the same and have the same scope. Allocated and
/// touched by the constructor, which throws Error for a rotary shape of odd dim.
class BlockMemory {
 public:
  BlockMemory(const BlockShape& shape, const Projections& projections, Scope scope);
  static std::size_t bytes(const BlockShape& shape, const Projections& projections);
  bool intact() const { return hidden.intact() && attended.intact(); }

  LayerInput input;      ///< of the attention; x, by row, is also what the feed-forward reads
  LayerOutput attended;  ///< by row
  GuardedMemory hidden;  ///< [chunk_rows, feed_forward], rows rounded up to kProductRows
  GuardedMemory rotary;  ///< table of rotary.h
};

/// A block, ready to run again and again; a pass allocates nothing. Output bits depend neither on
/// the number of threads nor on `feed_forward_chunk`. All that it is made from must outlive it.
class Block {
 public:
  /// `tensors` are the layer's own. Throws Error where the layer does not fit the shape or refuses
  /// it.
  Block(const Layer& layer, const DrawnTensors& tensors, const BlockShape& shape,
        const BlockWeights& weights, BlockMemory& memory, Team& team);
  ~Block();

  /// x and z are [rows, width]; z may be x.
  void run(ConstView x, View z);

  Work executed() const;   ///< of the last run
  ArenaUse arena() const;  ///< scratch beside `BlockMemory`
  bool intact() const;
  int threads_used() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Scratch that a block declares: its memory, that of its products and that of its attention.
std::size_t block_scratch(const Layer& layer, const BlockShape& shape, int threads);
/// Useful work of one pass over all sequences.
Work block_work(const Layer& layer, const BlockShape& shape);

}  // namespace subquad
