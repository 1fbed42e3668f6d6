#include "kernels/window_stream.h"

#include <algorithm>
#include <array>

#include "kernels/streaming_softmax.h"

namespace subquad {

WindowStream::WindowStream(const Problem& problem, const TokenWindow& window, Precision precision)
    : window_(window),
      precision_(precision),
      dim_(problem.dim),
      value_dim_(problem.value_dim),
      scale_(static_cast<float>(problem.score_scale())),
      sinks_(std::min(window.sinks, problem.keys)),
      ring_(std::min((window.reach + 1) * window.dilation, problem.keys)),
      tile_rows_(softmax_tile_rows(dim_, value_dim_, precision)),
      lone_(softmax_scratch_bytes(tile_rows_, dim_, value_dim_, precision)) {
  keys_.resize(static_cast<std::size_t>((sinks_ + ring_) * dim_));
  values_.resize(static_cast<std::size_t>((sinks_ + ring_) * value_dim_));
}

Index WindowStream::slot(Index position) const {
  return position < sinks_ ? position : sinks_ + (position - sinks_) % ring_;
}

void WindowStream::step(const Token& token) {
  const Index own = slot(read_);
  std::copy_n(token.key, dim_, keys_.begin() + own * dim_);
  std::copy_n(token.value, value_dim_, values_.begin() + own * value_dim_);
  ++read_;
  for (Index done = 0; done < token.queries.rows; done += tile_rows_) {
    const Index count = std::min(tile_rows_, token.queries.rows - done);
    attend(token.queries.row_range(done, count), own, token.out.row_range(done, count));
  }
}

void WindowStream::attend(ConstView queries, Index own, View out) {
  const Index kept = std::min(read_, sinks_ + ring_);
  std::array<KeySpan, 2> spans;
  KeyPlan plan(kept, spans, {});
  plan.all(0, std::min(read_, sinks_));
  // A ring that comes round is a multiple of the dilation, so tokens that far apart stay so in it.
  if (own >= sinks_) plan.all(sinks_ + (own - sinks_) % window_.dilation, kept, window_.dilation);

  Worker worker = lone_.worker();
  streaming_softmax({.q = queries,
                     .k = {keys_.data(), kept, dim_},
                     .v = {values_.data(), kept, value_dim_},
                     .out = out,
                     .scale = scale_,
                     .precision = precision_},
                    {.begin = 0, .count = queries.rows}, plan, nullptr, worker);
}

std::size_t WindowStream::state_bytes() const {
  return sizeof(float) * (keys_.size() + values_.size());
}

}  // namespace subquad
