#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "inputs/input.h"
#include "records/record.h"
#include "subquad/problem.h"
#include "subquad/view.h"

namespace subquad {

/// One figure of an exact attention matrix, from its singular values: what methods that put a
/// matrix of low rank in its place can hope for. It belongs to an input, not to a variant.
struct AttentionFigure {
  std::string_view key;    ///< in records
  std::string_view label;  ///< in tables
  std::string_view unit;
  std::string_view doc;
  double (*figure)(std::span<const double> singular_values);  ///< descending, at least one
};

/// Every such figure. The only list of them there is.
std::span<const AttentionFigure> attention_figures();

/// Singular values, descending, of the softmax matrix of one head at the query rows `rows` of
/// `problem` (causality included; a query that sees no key is a row of zeros), in double. They are
/// roots of eigenvalues of the smaller Gram matrix, of which those that are no more than rounding
/// count as 0: below some 1e-7 of the largest singular value there is nothing to be seen. `q`
/// [queries, dim], `k` [keys, dim]. Besides the Gram matrix no more than some columns (or rows) of
/// the matrix exist at a time.
std::vector<double> attention_singular_values(ConstView q, ConstView k, const Problem& problem,
                                              std::span<const Index> rows);

/// Adds the figures of every (sequence, head) to the record, over the rows that a reference of
/// `rows` rows would be taken over (reference.h).
void add_attention_figures(const LayerInput& input, const Problem& problem, Index rows,
                           Record& record);

}  // namespace subquad
