#pragma once

#include <span>

#include "subquad/view.h"

namespace subquad {

/// Vectorised passes over contiguous floats. Relative error of exp below 2 ulp over the whole
/// range; results below the smallest normal number are 0.

/// values[i] = exp(values[i] - shift); returns the sum.
float exp_minus(std::span<float> values, float shift);
/// to[i] = elu(values[i]) + 1 = exp(min(values[i], 0)) + max(values[i], 0).
void elu_plus_one(std::span<const float> values, std::span<float> to);
/// Largest value; -infinity for none.
float max_of(std::span<const float> values);
/// values[i] *= factor.
void scale_by(std::span<float> values, float factor);
/// Softmax in place; returns log(sum(exp(values))). All -infinity gives zeros and -infinity.
float softmax_in_place(std::span<float> values);

}  // namespace subquad
