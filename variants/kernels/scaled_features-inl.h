#pragma once

#include <algorithm>

#include "kernels/linear_attention.h"

namespace subquad {

/// The features of linear attention that are no features: keys as they are, queries times a factor,
/// so that inner products are scaled scores.
class ScaledFeatures final : public FeatureMap<float> {
 public:
  explicit ScaledFeatures(double scale) : scale_(static_cast<float>(scale)) {}

  Index features(Index dim) const override { return dim; }
  void map_queries(ConstView rows, Index, View features, float*, Worker&) const override {
    for (Index i = 0; i < rows.rows; ++i) {
      for (Index c = 0; c < rows.cols; ++c) features(i, c) = scale_ * rows(i, c);
    }
  }
  void map_keys(ConstView rows, Index, View features, float*, Worker&) const override {
    for (Index j = 0; j < rows.rows; ++j) std::copy_n(rows.row(j), rows.cols, features.row(j));
  }

 private:
  float scale_;
};

}  // namespace subquad
