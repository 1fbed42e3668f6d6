#pragma once

/// What `mode = block` measures: a transformer block around the layer, on the input's x (v where it
/// has none), heads beside one another. docs/block.md says what is done and why.

#include <memory>
#include <optional>

#include "measuring/arithmetic.h"
#include "measuring/pass.h"
#include "measuring/reference.h"
#include "models/block.h"
#include "models/drawn_block.h"

namespace subquad {

BlockShape block_shape_of(const Record& record);
/// Why a layer that can do the problem cannot stand in a block, or empty.
std::string refuses_block(const Layer& layer);

/// What stands around the attention of a point, and what goes in.
class BlockSetting {
 public:
  BlockSetting(const Record& record, const LayerInput& input, const Projections& projections);

  const BlockShape& shape() const { return shape_; }
  ConstView x() const { return {x_.data(), shape_.rows(), shape_.width()}; }
  /// z [batch, 1, tokens, width] is its output.
  std::unique_ptr<Pass> make_pass(const Layer& layer, const DrawnTensors& tensors,
                                  int threads) const;
  /// The block with its own tensors in double, on the leading rows of the first sequence, beside
  /// the float one: as check_arithmetic does for a layer.
  ArithmeticCheck check_arithmetic(const Layer& layer, const DrawnTensors& tensors,
                                   std::uint64_t seed) const;

 private:
  BlockShape shape_;
  AlignedFloats x_;
  DrawnBlock drawn_;
  BlockWeights weights_;
};

/// z of the same block around a dense target, in double, at a sample of rows for each sequence that
/// all heads share: one `ReferenceHead` of the whole width per sequence. K and V are projected for
/// every row, what follows attention for the sample alone. Nothing where the target's rows depend
/// on one another. Kept on disk as reference_of keeps its own.
std::optional<Reference> block_reference_of(const Expression& target, const Record& record,
                                            const LayerInput& input, Index rows);

}  // namespace subquad
