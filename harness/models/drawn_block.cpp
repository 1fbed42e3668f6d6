#include "models/drawn_block.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>
#include <string_view>

#include "subquad/random.h"

namespace subquad {
namespace {

/// [out, in], or with `out` alone a bias of a product that is `in` deep.
std::vector<float> draw(std::string_view name, std::uint64_t seed, Index count, Index in) {
  std::vector<float> values(static_cast<std::size_t>(count));
  Generator random(XXH64(name.data(), name.size(), seed));
  random.normals(values, 1 / std::sqrt(static_cast<double>(in)));
  return values;
}

}  // namespace

DrawnBlock::DrawnBlock(const BlockShape& shape, std::uint64_t seed) : shape_(shape) {
  const Index width = shape.width(), hidden = shape.feed_forward;
  gain_.assign(static_cast<std::size_t>(width), 1.0f);
  q_ = draw("block;q", seed, width * width, width);
  k_ = draw("block;k", seed, width * width, width);
  v_ = draw("block;v", seed, width * width, width);
  out_ = draw("block;output", seed, width * width, width);
  up_ = draw("block;up", seed, hidden * width, width);
  up_bias_ = draw("block;up.bias", seed, hidden, width);
  if (hidden == 0) return;
  down_ = draw("block;down", seed, width * hidden, hidden);
  down_bias_ = draw("block;down.bias", seed, width, hidden);
}

BlockTensors DrawnBlock::tensors() const {
  const Index width = shape_.width(), hidden = shape_.feed_forward;
  const auto square = [&](const std::vector<float>& values) {
    return LinearTensors{{values.data(), width, width}, {}};
  };
  return {.attention_norm = {gain_, {}},
          .feed_forward_norm = {gain_, {}},
          .q = square(q_),
          .k = square(k_),
          .v = square(v_),
          .out = square(out_),
          .up = {{up_.data(), hidden, width}, up_bias_},
          .down = {{down_.data(), width, hidden}, down_bias_}};
}

std::size_t DrawnBlock::bytes(const BlockShape& shape, const Projections& projections) {
  const Index width = shape.width(), hidden = shape.feed_forward;
  Index elements = width + projections.count() * width * width;
  if (hidden > 0) elements += width + 2 * hidden * width + hidden + width;
  return sizeof(float) * static_cast<std::size_t>(elements);
}

}  // namespace subquad
