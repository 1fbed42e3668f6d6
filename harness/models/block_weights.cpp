#include "models/block_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "subquad/error.h"

namespace subquad {

BlockWeights::BlockWeights(const BlockShape& shape, const Projections& projections,
                           const BlockTensors& tensors)
    : projections_(projections) {
  const Index width = shape.width(), hidden = shape.feed_forward;
  attention_norm = copy("attention norm", tensors.attention_norm, width);
  if (projections.q) q = pack("q", tensors.q, width, width);
  if (projections.k) k = pack("k", tensors.k, width, width);
  if (projections.v) v = pack("v", tensors.v, width, width);
  if (projections.out) out = pack("output", tensors.out, width, width);
  if (hidden == 0) return;
  feed_forward_norm = copy("feed-forward norm", tensors.feed_forward_norm, width);
  up = pack("up", tensors.up, hidden, width);
  down = pack("down", tensors.down, width, hidden);
}

BlockWeights::Linear BlockWeights::pack(const char* name, const LinearTensors& from, Index out,
                                        Index in) {
  const ConstView& weight = from.weight;
  if (weight.rows != out || weight.cols != in) {
    throw Error(fmt::format("block: the weight of '{}' is [{}, {}] ([{}, {}] is needed)", name,
                            weight.rows, weight.cols, out, in));
  }
  parameters_ += static_cast<std::size_t>(out * in);
  memory_.emplace_back(packed_right_bytes(out, in));
  return {pack_right(weight, memory_.back().as<float>()), copy(name, from.bias, out)};
}

BlockWeights::Norm BlockWeights::copy(const char* name, const NormTensors& from, Index width) {
  return {copy(name, from.gain, width), copy(name, from.bias, width)};
}

const float* BlockWeights::copy(const char* name, std::span<const float> from, Index count) {
  if (from.empty()) return nullptr;
  if (static_cast<Index>(from.size()) != count) {
    throw Error(fmt::format("block: gain or bias of '{}' has {} elements ({} are needed)", name,
                            from.size(), count));
  }
  parameters_ += from.size();
  memory_.emplace_back(from.size_bytes());
  std::ranges::copy(from, memory_.back().as<float>());
  return memory_.back().as<float>();
}

}  // namespace subquad
