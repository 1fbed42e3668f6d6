#include "kernels/product.h"

#include <algorithm>

#include "kernels/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Depth of a panel: 256 x 64 floats, 64 KiB, stay in the second-level cache while all rows of c
/// pass by.
constexpr Index kPanelDepth = 256;

/// What is done to c with a product.
struct Update {
  View c;
  float alpha;
  bool accumulate;
};

/// Adds kRows rows of a product with a packed panel to c(row, column ...).
template <Index kRows, bool kLeftTransposed>
void update_rows(const Update& update, ConstView a, const float* panel, Index depth, Index row,
                 Index column, Index columns) {
  const Tag<float> d;
  const auto alpha = hn::Set(d, update.alpha);
  const float* const first = kLeftTransposed ? a.data + row : a.row(row);
  float* const c = update.c.row(row) + column;
  const Index stride = update.c.stride;
  strip_product<kRows, kLeftTransposed>(
      first, a.stride, panel, kPanelColumns, depth,
      round_up(columns, kLanes<float>) / kLanes<float>,
      [=, accumulate = update.accumulate](Index r, Index v, Vec<float> sum) HWY_ATTR {
        float* const at = c + r * stride + v * kLanes<float>;
        const Index left = columns - v * kLanes<float>;
        if (left >= kLanes<float>) {
          const auto old = accumulate ? hn::LoadU(d, at) : hn::Zero(d);
          hn::StoreU(hn::MulAdd(alpha, sum, old), d, at);
        } else {
          const auto old = accumulate ? load_first(at, left, 0.0f) : hn::Zero(d);
          store_first<float>(hn::MulAdd(alpha, sum, old), left, at);
        }
      });
}

template <bool kLeftTransposed>
void update_panel(const Update& update, ConstView a, const float* panel, Index depth, Index column,
                  Index columns) {
  const Index rows = update.c.rows;
  Index row = 0;
  const auto step = [&]<Index kRows>() HWY_ATTR {
    update_rows<kRows, kLeftTransposed>(update, a, panel, depth, row, column, columns);
    row += kRows;
  };
  while (rows - row >= kMicroRows) step.template operator()<kMicroRows>();
  if (rows - row >= 4) step.template operator()<4>();
  if (rows - row >= 2) step.template operator()<2>();
  if (row < rows) step.template operator()<1>();
}

/// Packs rows [begin, begin + depth) of op(b), columns [column, column + columns).
template <bool kRightTransposed>
void pack_panel(ConstView b, Index begin, Index depth, Index column, Index columns, float* panel) {
  if constexpr (kRightTransposed) {
    const float* lines[kPanelColumns];
    for (Index j = 0; j < columns; ++j) lines[j] = b.row(column + j) + begin;
    pack_transposed(lines, columns, depth, panel);
  } else {
    for (Index p = 0; p < depth; ++p) {
      const float* const line = b.row(begin + p) + column;
      pack_rows(&line, 1, columns, panel + p * kPanelColumns, kPanelColumns);
    }
  }
}

template <bool kLeftTransposed, bool kRightTransposed>
void product(ConstView a, ConstView b, Index depth, Update update, Worker& worker) {
  const View& c = update.c;
  const std::size_t mark = worker.scratch.used();
  float* const panel =
      worker.scratch.take<float>(std::min(depth, kPanelDepth) * kPanelColumns).data();
  for (Index begin = 0; begin < depth || begin == 0; begin += kPanelDepth) {
    const Index panel_depth = std::min(kPanelDepth, depth - begin);
    const ConstView a_part =
        kLeftTransposed ? a.row_range(begin, panel_depth) : a.col_range(begin, panel_depth);
    for (Index column = 0; column < c.cols; column += kPanelColumns) {
      const Index columns = std::min(kPanelColumns, c.cols - column);
      pack_panel<kRightTransposed>(b, begin, panel_depth, column, columns, panel);
      update_panel<kLeftTransposed>(update, a_part, panel, panel_depth, column, columns);
    }
    update.accumulate = true;
  }
  worker.scratch.rewind(mark);
  worker.executed.multiply_adds += static_cast<double>(c.rows) *
                                   static_cast<double>(round_up(c.cols, kLanes<float>)) *
                                   static_cast<double>(depth);
}

void product_nn(ConstView a, ConstView b, const Update& update, Worker& worker) {
  product<false, false>(a, b, a.cols, update, worker);
}
void product_nt(ConstView a, ConstView b, const Update& update, Worker& worker) {
  product<false, true>(a, b, a.cols, update, worker);
}
void product_tn(ConstView a, ConstView b, const Update& update, Worker& worker) {
  product<true, false>(a, b, a.rows, update, worker);
}

}  // namespace
}  // namespace HWY_NAMESPACE

std::size_t product_scratch_bytes(Index, Index, Index k) {
  using HWY_NAMESPACE::kPanelColumns;
  const Index depth = std::min(k, HWY_NAMESPACE::kPanelDepth);
  return padded_bytes(static_cast<std::size_t>(depth * kPanelColumns) * sizeof(float));
}

void multiply(ConstView a, ConstView b, View c, Worker& worker, float alpha, bool accumulate) {
  HWY_STATIC_DISPATCH(product_nn)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha,
                         bool accumulate) {
  HWY_STATIC_DISPATCH(product_nt)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_left_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha,
                              bool accumulate) {
  HWY_STATIC_DISPATCH(product_tn)(a, b, {c, alpha, accumulate}, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
