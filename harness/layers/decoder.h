#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "layers/executor.h"

namespace subquad {

/// Decodes the last tokens of causal sequences by the variants' streams, one token after the other
/// over all sequences and heads, as a language model does. Query heads that share keys
/// (shared_keys.h) share a stream, unless their variant reads x, which each head has its own of.
/// Layer, input and tensors must outlive this.
class Decoder {
 public:
  /// Makes the streams; the last `tokens` of each sequence will be decoded. Throws Error where the
  /// input does not fit the layer, which must not refuse to be decoded, on sequences of full
  /// length.
  Decoder(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, Index tokens,
          int threads);
  ~Decoder();

  /// Reads all tokens before those that are decoded, without asking anything. Once, first.
  void read_prompt();
  /// Copies the state after the prompt, for `run` to go on from.
  void rewind();
  /// Decodes into `output`, [batch, heads, tokens, value_dim], which is sized if it is not. Needs a
  /// `rewind` of its own. What a stream throws is thrown here.
  void run(LayerOutput& output);

  /// Sizes `output` and fills it with NaN.
  void poison(LayerOutput& output) const;
  /// Calls body() on each thread that `run` has, at the same time; each body is to wait until all
  /// have begun.
  void on_every_thread(const std::function<void()>& body);

  std::size_t state_bytes() const;  ///< that all streams hold after the last token
  int threads_used() const;         ///< threads that took part in the last run

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace subquad
