#pragma once

#include <cstdint>
#include <vector>

#include "models/block_weights.h"

namespace subquad {

/// Tensors of a block, drawn: weights from N(0, 1 / in), so that a product keeps the size of what
/// it is given, and biases of the feed-forward layer likewise; norms have gains of 1 and no biases.
/// Each comes from a generator of its own, keyed by XXH64("block;name") with the seed, whatever
/// the attention: variants of one experiment meet the same block.
class DrawnBlock {
 public:
  DrawnBlock(const BlockShape& shape, std::uint64_t seed);

  BlockTensors tensors() const;
  /// Bytes of those that a block with such projections has.
  static std::size_t bytes(const BlockShape& shape, const Projections& projections);

 private:
  BlockShape shape_;
  std::vector<float> gain_, q_, k_, v_, out_, up_, down_, up_bias_, down_bias_;
};

}  // namespace subquad
