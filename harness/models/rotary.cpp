#include "models/rotary.h"

#include <cmath>

namespace subquad {

void fill_rotary_table(Index positions, Index dim, float* table) {
  constexpr double kBase = 10000;
  for (Index position = 0; position < positions; ++position) {
    for (Index c = 0; c < dim; c += 2) {
      const double angle = static_cast<double>(position) *
                           std::pow(kBase, -static_cast<double>(c) / static_cast<double>(dim));
      table[position * dim + c] = static_cast<float>(std::cos(angle));
      table[position * dim + c + 1] = static_cast<float>(std::sin(angle));
    }
  }
}

void rotate_rows(View rows, const float* table, Index first) {
  for (Index i = 0; i < rows.rows; ++i) {
    float* const row = rows.row(i);
    const float* const turn = table + (first + i) * rows.cols;
    for (Index c = 0; c < rows.cols; c += 2) {
      const float even = row[c], odd = row[c + 1];
      row[c] = even * turn[c] - odd * turn[c + 1];
      row[c + 1] = even * turn[c + 1] + odd * turn[c];
    }
  }
}

}  // namespace subquad
