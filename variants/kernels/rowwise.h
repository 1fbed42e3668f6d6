#pragma once

#include <span>

#include "subquad/view.h"

namespace subquad {

/// Vectorised passes over contiguous floats. Relative error of exp below 2 ulp over the whole
/// range; results below the smallest normal number are 0.

/// values[i] = exp(values[i] - shift); returns the sum.
float exp_minus(std::span<float> values, float shift);
/// to = elu(rows) + 1 = exp(min(x, 0)) + max(x, 0), element by element. The relative error is below
/// (2 + |x|) ulp where x is below 0.
void elu_plus_one(ConstView rows, View to);
/// values[i] = x Phi(x), Phi the standard normal distribution function: the GELU without the usual
/// approximations. The relative error is below 5 epsilon; results below the smallest normal number
/// are 0.
void gelu_in_place(std::span<float> values);
/// values[i] = tanh(values[i]). Odd; relative error below 4 ulp over the whole range; the double
/// one is for fitting.
void tanh_in_place(std::span<float> values);
void tanh_in_place(std::span<double> values);
/// sums[j] = sum over h of weights[h] tanh(rows(h, j) + shifts[h]): scores of one query of additive
/// attention. `sums` has `rows.cols` elements, `shifts` and `weights` one per row.
void sum_of_tanh(ConstView rows, const float* shifts, const float* weights, float* sums);
/// Largest value; -infinity for none.
float max_of(std::span<const float> values);
/// values[i] *= factor.
void scale_by(std::span<float> values, float factor);
/// to(i, c) = (rows(i, c) - mean_i) / sqrt(variance_i + epsilon) gain[c] + shift[c], mean and
/// variance (over all columns, not one fewer) of row i. `gain` and `shift` may be null: 1 and 0.
/// `to` may be `rows`.
void layer_norm(ConstView rows, const float* gain, const float* shift, float epsilon, View to);
/// Softmax in place; returns log(sum(exp(values))). All -infinity gives zeros and -infinity.
float softmax_in_place(std::span<float> values);

}  // namespace subquad
