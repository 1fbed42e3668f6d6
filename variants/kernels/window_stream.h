#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/lone_worker-inl.h"
#include "subquad/precision.h"
#include "subquad/variant.h"

namespace subquad {

/// Which tokens a decoder keeps in sight of the one at position p: the first `sinks`, and p,
/// p - dilation, ..., p - reach * dilation. Dilation goes without sinks.
struct TokenWindow {
  Index sinks = 0;
  Index reach = 0;
  Index dilation = 1;
};

/// Decoder of a softmax over a window of tokens. The last (reach + 1) * dilation keys and values
/// lie in a ring, behind those of the sinks, so that the state does not grow with what was read; it
/// is no larger than `problem.keys` tokens either. Keys enter as they come: positions inside the
/// cache, which rotary embeddings would need, are up to whoever makes Q and K.
class WindowStream final : public Stream {
 public:
  /// Of a causal problem with up to `problem.keys` tokens.
  WindowStream(const Problem& problem, const TokenWindow& window, Precision precision);

  void step(const Token& token) override;
  std::unique_ptr<Stream> clone() const override { return std::make_unique<WindowStream>(*this); }
  std::size_t state_bytes() const override;

 private:
  Index slot(Index position) const;  ///< where a token is kept
  /// Outputs of queries at the last token, which is kept at `own`.
  void attend(ConstView queries, Index own, View out);

  TokenWindow window_;
  Precision precision_;
  Index dim_, value_dim_;
  float scale_;
  Index sinks_;  ///< slots of the sinks; those of the ring follow
  Index ring_;   ///< tokens in the ring: a multiple of the dilation, or all there will be
  Index read_ = 0;
  std::vector<float> keys_, values_;  ///< [sinks + ring, dim], [sinks + ring, value_dim]
  Index tile_rows_;                   ///< queries that the kernel takes at a time
  LoneWorker lone_;
};

}  // namespace subquad
