#pragma once

#include <span>

#include "kernels/product.h"
#include "layers/guarded_memory.h"
#include "subquad/variant.h"

namespace subquad {

/// Sizes of a transformer block, whatever its attention.
struct BlockShape {
  Index batch = 1;
  Index tokens = 0;  ///< of each sequence
  Index heads = 1;
  Index dim = 0;                 ///< of a head; the width of the block is heads x dim
  Index feed_forward = 0;        ///< width of the hidden layer; 0: attention alone
  Index feed_forward_chunk = 0;  ///< rows (of all sequences) that it takes at a time; 0: all
  bool rotary = false;           ///< positions are rotated into queries and keys (rotary.h)
  float norm_epsilon = 1e-5f;

  Index width() const { return heads * dim; }
  Index rows() const { return batch * tokens; }
  /// Rows of the hidden layer that are held.
  Index chunk_rows() const {
    return feed_forward_chunk > 0 && feed_forward_chunk < rows() ? feed_forward_chunk : rows();
  }
};

/// Which products stand around an attention: only what it consumes is projected, and an output
/// projection belongs to projected values. What reads the layer's input alone (FNet's Fourier
/// transforms, a mixer) stands in the block as it is: in Lee-Thorp et al. 2021 (arXiv:2105.03824,
/// section 3) the mixing takes the place of attention with all of its projections.
struct Projections {
  bool q = true, k = true, v = true, out = true;

  Index count() const { return Index{q} + Index{k} + Index{v} + Index{out}; }
};
inline Projections projections_of(const Consumes& consumes) {
  return {consumes.q, consumes.k, consumes.v, consumes.v};
}

/// x W^T + b: weight [out, in], as PyTorch keeps it; bias [out] or empty for none.
struct LinearTensors {
  ConstView weight;
  std::span<const float> bias;
};
/// (x - mean) / sqrt(variance + epsilon) gain + bias; [width] each, or empty for ones and zeros.
struct NormTensors {
  std::span<const float> gain, bias;
};

/// All tensors of a block. What an attention does not need may be there all the same.
struct BlockTensors {
  NormTensors attention_norm, feed_forward_norm;
  LinearTensors q, k, v, out;  ///< [width, width]
  LinearTensors up, down;      ///< [feed_forward, width], [width, feed_forward]
};

/// The tensors that a block with such projections needs, packed for its products; nothing of what
/// it was made from is read later.
class BlockWeights {
 public:
  /// Throws Error where a tensor that is needed is missing or has another shape.
  BlockWeights(const BlockShape& shape, const Projections& projections,
               const BlockTensors& tensors);

  struct Linear {
    PackedRight weight;
    const float* bias = nullptr;  ///< null: none
  };
  struct Norm {
    const float* gain = nullptr;
    const float* bias = nullptr;
  };
  Norm attention_norm, feed_forward_norm;
  Linear q, k, v, out, up, down;

  const Projections& projections() const { return projections_; }
  /// Bytes of the tensors themselves, without what packing pads them with.
  std::size_t parameter_bytes() const { return parameters_ * sizeof(float); }

 private:
  Linear pack(const char* name, const LinearTensors& from, Index out, Index in);
  Norm copy(const char* name, const NormTensors& from, Index width);
  const float* copy(const char* name, std::span<const float> from, Index count);

  Projections projections_;
  std::size_t parameters_ = 0;
  std::vector<GuardedMemory> memory_;
};

}  // namespace subquad
