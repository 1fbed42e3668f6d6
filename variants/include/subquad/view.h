#pragma once

#include <cstddef>
#include <type_traits>

namespace subquad {

/// Counts, extents and positions. Signed, so that differences of positions are safe.
using Index = std::ptrdiff_t;

/// A matrix that somebody else owns: a pointer, an extent and the distance between rows.
/// Elements of a row are contiguous; rows need not be (`stride >= cols`), so a head of a packed
/// [n, heads x dim] tensor, or every second row of a matrix, is a view like any other.
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;  ///< elements from one row to the next

  MatrixView() = default;
  MatrixView(T* data, Index rows, Index cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, Index rows, Index cols, Index stride)
      : data(data), rows(rows), cols(cols), stride(stride) {}

  T* row(Index i) const { return data + i * stride; }
  T& operator()(Index i, Index j) const { return data[i * stride + j]; }
  bool empty() const { return rows == 0 || cols == 0; }

  /// Rows [begin, begin + count).
  MatrixView row_range(Index begin, Index count) const { return {row(begin), count, cols, stride}; }
  /// Columns [begin, begin + count).
  MatrixView col_range(Index begin, Index count) const {
    return {data + begin, rows, count, stride};
  }
  /// Rows begin, begin + step, ...; `count` of them.
  MatrixView every(Index step, Index begin, Index count) const {
    return {row(begin), count, cols, stride * step};
  }

  /// A view that may be written can be read.
  operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }
};

using View = MatrixView<float>;
using ConstView = MatrixView<const float>;

}  // namespace subquad
