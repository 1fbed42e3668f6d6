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

/// Positive features of rows x (the same, lemma 1), whose inner product is exp(root^2 x . y) in the
/// mean over directions w: exp(root w . x - root^2 |x|^2 / 2) / sqrt(features). Written relative to
/// the largest of each row: the feature is features(i, f) * exp(logs[i]), with a 1 in each row.
/// `features` is [rows, directions], contiguous.
void positive_features(ConstView rows, ConstView directions, double root, View features,
                       std::span<float> logs, Worker& worker);

/// Worker scratch that `positive_features` takes.
std::size_t positive_features_scratch_bytes(Index rows, Index dim, Index features);

}  // namespace subquad
