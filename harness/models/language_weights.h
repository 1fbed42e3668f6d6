#pragma once

#include <span>
#include <string>

#include "subquad/problem.h"
#include "subquad/view.h"
#include "tensor_files/tensor_file.h"

namespace subquad {

/// Sizes of a causal language model that reads bytes.
struct LanguageShape {
  Index layers = 0, heads = 0, dim = 0, feed_forward = 0;

  Index width() const { return heads * dim; }
};
/// Of one head of any layer on `length` bytes: causal self attention.
Problem attention_problem(const LanguageShape& shape, Index length);
/// Different bytes: what a position may hold, and what it predicts.
inline constexpr Index kVocabulary = 256;

/// Weights of a pre-norm transformer whose layers are those of block.h:
///
/// x = embedding[byte]; in each layer x += output(attention(norm(x))), then
/// x += down(gelu(up(norm(x)))); logits = head(norm(x)).
///
/// Tensors, float, all needed, none other allowed. Every weight is [out, in]. Of the model:
/// - embedding.weight and head.weight [256, width]
/// - final_norm.weight and .bias [width]
///
/// of layer N, counted from 0, after "layers.N.":
/// - attention_norm.weight and .bias, feed_forward_norm.weight and .bias [width]
/// - attention.qkv.weight [3 width, width]: rows of q, of k, of v, each by head
/// - attention.output.weight [width, width]
/// - feed_forward.up.weight [hidden, width] and .bias [hidden]
/// - feed_forward.down.weight [width, hidden] and .bias [width]
///
/// The file's `__metadata__` says `heads`, which no shape tells. What else it says of sizes
/// (layers, width, feed_forward, vocabulary, rotary_base) must agree with the tensors and with
/// rotary.h.
class LanguageWeights {
 public:
  /// Reads weights.safetensors of a folder. Whatever is missing, of another shape, unknown or not
  /// finite throws Error naming file, tensor and what is needed.
  explicit LanguageWeights(const std::string& folder);

  const LanguageShape& shape() const { return shape_; }
  ConstView matrix(const std::string& name) const;
  std::span<const float> vector(const std::string& name) const;
  /// Of layer number `layer`: "attention.qkv.weight".
  ConstView matrix(Index layer, const std::string& name) const;
  std::span<const float> vector(Index layer, const std::string& name) const;
  std::size_t bytes() const;  ///< of all tensors

 private:
  TensorFile file_;
  LanguageShape shape_;
};

/// The file of a model's folder that holds its weights.
std::string weights_path(const std::string& folder);

}  // namespace subquad
