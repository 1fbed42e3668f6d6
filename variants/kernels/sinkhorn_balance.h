#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// Sinkhorn's balancing of exp(logits), in logarithms (Tay et al. 2020, arXiv:2002.11296, section
/// 3): `iterations` times, rows are divided by their sums and then columns by theirs, so that a
/// square matrix comes near to rows and columns of sum 1.
///
/// `causal` takes the strictly lower triangle alone: row i has columns j < i, a column is divided
/// in row i by its sum over rows up to i, so that no row depends on later ones, and rows are
/// divided once more in the end: what a query attends to is then an average of earlier blocks.
struct SinkhornBalance {
  Index iterations;
  bool causal;

  Scratch scratch(Index rows, Index cols) const;
  /// Logits to balanced weights, in place; elements that `causal` leaves out become 0, and may hold
  /// anything before.
  void run(View logits, Run& run) const;
};

}  // namespace subquad
