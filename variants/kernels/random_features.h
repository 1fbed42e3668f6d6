#pragma once

#include <span>

#include "subquad/run.h"
#include "subquad/tensor.h"
#include "subquad/view.h"

namespace subquad {

/// Directions [features, dim] for random features (Choromanski et al. 2021, arXiv:2009.14794,
/// section 2): Gaussian rows made orthogonal in blocks of `dim`, each with the length of a
/// Gaussian row of its own.
Initialiser orthogonal_gaussians();
/// The same, each row of length sqrt(dim) (regularised, section 2.3 there): no longer without bias.
Initialiser orthogonal_of_one_length();

/// Positive features of rows x (the same, lemma 1), whose inner product is exp(root^2 x . y) in the
/// mean over directions w: exp(root w . x - root^2 |x|^2 / 2) / sqrt(features). Written relative to
/// the largest of each row: the feature is features(i, f) * exp(logs[i]), with a 1 in each row.
/// `features` is [rows, directions], contiguous.
void positive_features(ConstView rows, ConstView directions, double root, View features,
                       std::span<float> logs, Worker& worker);

/// Worker scratch that `positive_features` and `positive_exponents` take.
std::size_t positive_features_scratch_bytes(Index rows, Index dim, Index features);

/// Logarithms of the same features, as they are: root w . x - root^2 |x|^2 / 2 - log(columns) / 2.
/// `exponents` [rows, directions], or [rows, 2 directions] for the features of w and behind them
/// those of -w (hyperbolic: the same, section 2).
void positive_exponents(ConstView rows, ConstView directions, double root, View exponents,
                        Worker& worker);

/// Trigonometric features of rows x [rows, dim] (Rahimi and Recht 2007), whose inner product is
/// exp(-|x - y|^2 / 2) in the mean over directions w: sin(w . x), then cos(w . x), over
/// sqrt(directions). `features` is [rows, 2 directions]. In double, because they cancel.
void trigonometric_features(MatrixView<const double> rows, ConstView directions,
                            MatrixView<double> features, Worker& worker);

/// Worker scratch that `trigonometric_features` takes.
std::size_t trigonometric_features_scratch_bytes(Index dim);

}  // namespace subquad
