#include "kernels/product.h"

#include <algorithm>

#include "kernels/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// Depth of a panel: 256 x 64 numbers, 64 or 128 KiB, stay in the second-level cache while all rows
/// of c pass by.
constexpr Index kPanelDepth = 256;

/// What is done to c with a product.
template <class T>
struct Update {
  MatrixView<T> c;
  T alpha;
  bool accumulate;
};

/// Adds kRows rows of a product with a packed panel to c(row, column ...).
template <Index kRows, bool kLeftTransposed, class T>
void update_rows(const Update<T>& update, MatrixView<const T> a, const T* panel, Index depth,
                 Index row, Index column, Index columns) {
  const Tag<T> d;
  const auto alpha = hn::Set(d, update.alpha);
  const T* const first = kLeftTransposed ? a.data + row : a.row(row);
  T* const c = update.c.row(row) + column;
  const Index stride = update.c.stride;
  strip_product<kRows, kLeftTransposed>(
      first, a.stride, panel, kPanelColumns, depth, round_up(columns, kLanes<T>) / kLanes<T>,
      [=, accumulate = update.accumulate](Index r, Index v, Vec<T> sum) HWY_ATTR {
        T* const at = c + r * stride + v * kLanes<T>;
        const Index left = columns - v * kLanes<T>;
        if (left >= kLanes<T>) {
          const auto old = accumulate ? hn::LoadU(d, at) : hn::Zero(d);
          hn::StoreU(hn::MulAdd(alpha, sum, old), d, at);
        } else {
          const auto old = accumulate ? load_first(at, left, T{0}) : hn::Zero(d);
          store_first<T>(hn::MulAdd(alpha, sum, old), left, at);
        }
      });
}

template <bool kLeftTransposed, class T>
void update_panel(const Update<T>& update, MatrixView<const T> a, const T* panel, Index depth,
                  Index column, Index columns) {
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
template <bool kRightTransposed, class T>
void pack_panel(MatrixView<const T> b, Index begin, Index depth, Index column, Index columns,
                T* panel) {
  if constexpr (kRightTransposed) {
    const T* lines[kPanelColumns];
    for (Index j = 0; j < columns; ++j) lines[j] = b.row(column + j) + begin;
    pack_transposed(lines, columns, depth, panel);
  } else {
    for (Index p = 0; p < depth; ++p) {
      const T* const line = b.row(begin + p) + column;
      pack_rows(&line, 1, columns, panel + p * kPanelColumns, kPanelColumns);
    }
  }
}

template <bool kLeftTransposed, bool kRightTransposed, class T>
void product(MatrixView<const T> a, MatrixView<const T> b, Index depth, Update<T> update,
             Worker& worker) {
  const MatrixView<T>& c = update.c;
  const std::size_t mark = worker.scratch.used();
  T* const panel = worker.scratch.take<T>(std::min(depth, kPanelDepth) * kPanelColumns).data();
  for (Index begin = 0; begin < depth || begin == 0; begin += kPanelDepth) {
    const Index panel_depth = std::min(kPanelDepth, depth - begin);
    const MatrixView<const T> a_part =
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
                                   static_cast<double>(round_up(c.cols, kLanes<T>)) *
                                   static_cast<double>(depth);
}

template <class T>
void product_nn(MatrixView<const T> a, MatrixView<const T> b, const Update<T>& update,
                Worker& worker) {
  product<false, false, T>(a, b, a.cols, update, worker);
}
template <class T>
void product_nt(MatrixView<const T> a, MatrixView<const T> b, const Update<T>& update,
                Worker& worker) {
  product<false, true, T>(a, b, a.cols, update, worker);
}
template <class T>
void product_tn(MatrixView<const T> a, MatrixView<const T> b, const Update<T>& update,
                Worker& worker) {
  product<true, false, T>(a, b, a.rows, update, worker);
}

static_assert(kProductRows == kMicroRows);

/// Panels stand depth by depth, those of one depth in order of their columns.
void pack_panels(ConstView b, float* to) {
  for (Index begin = 0; begin < b.cols; begin += kPanelDepth) {
    const Index depth = std::min(kPanelDepth, b.cols - begin);
    for (Index column = 0; column < b.rows; column += kPanelColumns) {
      const Index columns = std::min(kPanelColumns, b.rows - column);
      pack_panel<true>(b, begin, depth, column, columns, to);
      to += depth * kPanelColumns;
    }
  }
}

void packed_product(ConstView a, const PackedRight& b, Index first_row, View c, Worker& worker) {
  Update<float> update{c, 1, false};
  const Index all_columns = round_up(b.rows, kPanelColumns);
  for (Index begin = 0; begin < b.depth; begin += kPanelDepth) {
    const Index depth = std::min(kPanelDepth, b.depth - begin);
    const float* const panels = b.panels + begin * all_columns;
    for (Index column = 0; column < c.cols;) {
      const Index from = first_row + column, within = from % kPanelColumns;
      const Index columns = std::min(kPanelColumns - within, c.cols - column);
      update_panel<false, float>(update, a.col_range(begin, depth),
                                 panels + (from - within) * depth + within, depth, column, columns);
      worker.executed.multiply_adds += static_cast<double>(c.rows) *
                                       static_cast<double>(round_up(columns, kLanes<float>)) *
                                       static_cast<double>(depth);
      column += columns;
    }
    update.accumulate = true;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE

std::size_t packed_right_bytes(Index n, Index k) {
  using namespace HWY_NAMESPACE;
  // A vector that begins within the last panel may end beyond it.
  return padded_bytes(sizeof(float) *
                      static_cast<std::size_t>(round_up(n, kPanelColumns) * k + kLanes<float>));
}

PackedRight pack_right(ConstView b, float* to) {
  // What lies between columns is read with them, and must be numbers for no reason but speed.
  std::fill_n(to, packed_right_bytes(b.rows, b.cols) / sizeof(float), 0.0f);
  HWY_STATIC_DISPATCH(pack_panels)(b, to);
  return {to, b.rows, b.cols};
}

void multiply_packed(ConstView a, const PackedRight& b, Index first_row, View c, Worker& worker) {
  HWY_STATIC_DISPATCH(packed_product)(a, b, first_row, c, worker);
}

template <class T>
std::size_t product_scratch_bytes(Index, Index, Index k) {
  using HWY_NAMESPACE::kPanelColumns;
  const Index depth = std::min(k, HWY_NAMESPACE::kPanelDepth);
  return padded_bytes(static_cast<std::size_t>(depth * kPanelColumns) * sizeof(T));
}

template std::size_t product_scratch_bytes<float>(Index, Index, Index);
template std::size_t product_scratch_bytes<double>(Index, Index, Index);

void multiply(ConstView a, ConstView b, View c, Worker& worker, float alpha, bool accumulate) {
  HWY_STATIC_DISPATCH(product_nn<float>)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha,
                         bool accumulate) {
  HWY_STATIC_DISPATCH(product_nt<float>)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_left_transposed(ConstView a, ConstView b, View c, Worker& worker, float alpha,
                              bool accumulate) {
  HWY_STATIC_DISPATCH(product_tn<float>)(a, b, {c, alpha, accumulate}, worker);
}

void multiply(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c,
              Worker& worker, double alpha, bool accumulate) {
  HWY_STATIC_DISPATCH(product_nn<double>)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_transposed(MatrixView<const double> a, MatrixView<const double> b,
                         MatrixView<double> c, Worker& worker, double alpha, bool accumulate) {
  HWY_STATIC_DISPATCH(product_nt<double>)(a, b, {c, alpha, accumulate}, worker);
}

void multiply_left_transposed(MatrixView<const double> a, MatrixView<const double> b,
                              MatrixView<double> c, Worker& worker, double alpha, bool accumulate) {
  HWY_STATIC_DISPATCH(product_tn<double>)(a, b, {c, alpha, accumulate}, worker);
}

}  // namespace subquad
HWY_AFTER_NAMESPACE();
