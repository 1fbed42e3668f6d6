#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Softmax attention of a few queries over many keys, all of which every query sees:
///
///   out = softmax(scale q k^T) v                                  [queries, value_dim]
///
/// Keys are cut into at most 16 stretches, so that threads share them; their results are merged by
/// log-sum-exp, in order and in double. Products are float32, or double where q is.
void attend_by_stretches(ConstView q, ConstView k, ConstView v, double scale,
                         MatrixView<double> out, Run& run);
void attend_by_stretches(MatrixView<const double> q, ConstView k, ConstView v, double scale,
                         MatrixView<double> out, Run& run);

/// Shared scratch that they take is added, that of workers is the larger of both; T is float or
/// double.
template <class T>
void declare_stretches(Index queries, Index keys, Index dim, Index value_dim, Scratch& scratch);

}  // namespace subquad
