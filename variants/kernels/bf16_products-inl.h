#pragma once

// The two products of the streaming softmax with operands rounded to bf16, multiplied as floats:
// the numbers of the tile products (amx_products-inl.h) on any processor, at the speed of floats.

#include <algorithm>
#include <cmath>

#include "kernels/bf16-inl.h"
#include "kernels/plain_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

class Bf16Products : public PlainProducts<float> {
 public:
  using PlainProducts::PlainProducts;
  using PlainProducts::weight;

  static Vec<float> weight(Vec<float> given) { return round_to_bf16(given); }
  static float operand(float given) { return round_to_bf16(given); }

  void begin(MatrixView<const float> q, Rows rows, double factor) {
    PlainProducts::begin(q, rows, factor);
    round_all(queries_, round_up(rows.count, kGroupRows) * dim_);
  }

  void pack_keys(const float* const* lines, Index count) {
    PlainProducts::pack_keys(lines, count);
    round_all(own_keys_, kBlock * dim_);
  }

  static bool pack_block(const float* const* keys, const float* const* values, Index count,
                         Index dim, Index value_dim, float* to) {
    const bool finite = PlainProducts::pack_block(keys, values, count, dim, value_dim, to);
    round_all(to, kBlock * dim);
    return finite;
  }

  /// Values have to be rounded first.
  bool use_values(MatrixView<const float>, bool) { return false; }

  bool pack_values(const float* const* lines, Index count, Index columns) {
    const bool finite = PlainProducts::pack_values(lines, count, columns);
    const Index elements = count * value_stride_;
    round_all(own_values_, elements);
    // The largest floats are infinite once they are rounded.
    const auto infinite = [](float value) { return std::isinf(value); };
    if (std::none_of(own_values_, own_values_ + elements, infinite)) return finite;
    std::replace_if(own_values_, own_values_ + elements, infinite, 0.0f);
    return false;
  }

 private:
  static void round_all(float* values, Index count) {
    const Tag<float> d;
    Index i = 0;
    for (; i + kLanes<float> <= count; i += kLanes<float>) {
      hn::StoreU(round_to_bf16(hn::LoadU(d, values + i)), d, values + i);
    }
    for (; i < count; ++i) values[i] = round_to_bf16(values[i]);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();
