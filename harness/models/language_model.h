#pragma once

/// A causal language model with any layer expression in place of its attention. What it computes,
/// and from which tensors: language_weights.h, block.h.

#include <functional>
#include <memory>
#include <vector>

#include "inputs/text.h"
#include "layers/executor.h"
#include "models/block.h"
#include "models/language_weights.h"

namespace subquad {

/// The attention of a layer of a model, made for `attention_problem`.
struct ModelAttention {
  const Layer* layer = nullptr;
  const DrawnTensors* tensors = nullptr;
};

/// The weights as a pass wants them, and of each layer only those that its attention needs. Nothing
/// of what it was made from is read later.
class PackedLanguageModel {
 public:
  /// `layers` has one entry for each layer of the model.
  PackedLanguageModel(const LanguageWeights& weights, const std::vector<const Layer*>& layers);

  const LanguageShape& shape() const { return shape_; }
  std::size_t parameter_bytes() const;

  AlignedFloats embedding;           ///< [256, width]
  std::vector<BlockWeights> blocks;  ///< one for each layer
  AlignedFloats norm_gain, norm_bias;
  PackedRight head;

 private:
  LanguageShape shape_;
  GuardedMemory head_memory_;
};

/// A model on windows of one length, ready to run again and again; a pass allocates nothing. Output
/// bits do not depend on the number of threads. All that it is made from must outlive it.
class LanguageModel {
 public:
  /// `attention` has one entry for each layer. `feed_forward_chunk`: rows that the hidden layer of
  /// a block takes at a time; 0: all.
  LanguageModel(const PackedLanguageModel& weights, const std::vector<ModelAttention>& attention,
                Index batch, Index length, Index feed_forward_chunk, int threads);
  ~LanguageModel();

  /// Sizes `logits` as [windows, 1, length, 256] and fills it with NaN.
  void poison(LayerOutput& logits) const;
  /// Row i of a window: the logits of the byte that follows its byte i. Error where the text has
  /// not as many windows, or not of the length.
  void run(const TextWindows& text, LayerOutput& logits);
  /// The same, and before layer `number`'s output is used calls observe(number, input) with what
  /// its attention read: q and k after the rotary step, and x. For checks and fits; allocates.
  using Observe = std::function<void(Index number, const LayerInput& input)>;
  void run_observed(const TextWindows& text, LayerOutput& logits, const Observe& observe);

  void on_every_thread(const std::function<void()>& body);
  Work executed() const;   ///< of the last run
  ArenaUse arena() const;  ///< all scratch, activations among it
  bool intact() const;
  int threads_used() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Scratch that such a model declares, activations among it, in bytes.
std::size_t language_scratch(const LanguageShape& shape, const std::vector<const Layer*>& layers,
                             Index batch, Index length, Index feed_forward_chunk, int threads);
/// Useful work of one pass over all windows.
Work language_work(const LanguageShape& shape, const std::vector<const Layer*>& layers, Index batch,
                   Index length);

}  // namespace subquad
