#pragma once

#include <functional>
#include <span>
#include <vector>

#include "subquad/eigen.h"
#include "subquad/variant.h"

namespace subquad {

/// What fitting has in common: least squares over calibration windows, in double. None of this runs
/// in a forward pass; it allocates as it likes. Windows are one at least, each with `problem`'s
/// shape.

/// Softmax of each row, in place; -infinity becomes 0.
void softmax_rows(RowMajor<double>& scores);
/// The same of [queries, keys], over what the mask leaves.
void softmax_rows(const Problem& problem, RowMajor<double>& scores);

/// Exact attention matrices [queries, keys] of the windows, their mean: of all matrices of weights
/// that do not depend on the input, the one at the least Kullback-Leibler divergence from them.
/// Rows sum to 1; weights of pairs that the mask hides are 0.
RowMajor<double> mean_attention(const Problem& problem, std::span<const Window> windows);

/// The matrix [keys, columns] of a window that a fit reads: &Window::v or &Window::x.
using WindowInput = ConstView Window::*;

/// Sums over windows that least squares for a constant matrix A stand on, where A X is to be the
/// target T.
struct Moments {
  RowMajor<double> gram;   ///< X X^T [keys, keys]
  RowMajor<double> cross;  ///< T X^T [queries, keys]

  /// Of `gram`, that is: penalties are relative to the mean square of a row of X.
  double mean_diagonal() const;
};
Moments moments(const Problem& problem, std::span<const Window> windows, WindowInput input);

/// The matrix A [queries, keys] at which
///   sum ||A X - T||^2 + penalty mean_diagonal ||A - prior||^2
/// is least. Row i has columns that the mask shows it, and zeros. 0 < penalty; 1e-10 finds the
/// solution of least norm about the prior as far as doubles go: the error above the least is at
/// the most that penalty times the squared distance of any best solution.
RowMajor<double> ridge(const Problem& problem, const Moments& moments,
                       const RowMajor<double>& prior, double penalty);

/// The sum of ||A X - T||^2.
double squared_error(const RowMajor<double>& matrix, std::span<const Window> windows,
                     WindowInput input);

/// The penalty at which squared errors, summed over windows, are least: `errors(w)` tells those on
/// window w of what is fitted to all others, one for each penalty. With one window, which says
/// nothing of others, it is `lone`.
double best_penalty(std::size_t windows, std::span<const double> penalties, double lone,
                    const std::function<std::vector<double>(std::size_t)>& errors);
/// The same from fits to windows; `lone` is the last of the penalties.
using LeftOutErrors =
    std::function<std::vector<double>(std::span<const Window> others, const Window& left_out)>;
double best_penalty(std::span<const Window> windows, std::span<const double> penalties,
                    const LeftOutErrors& errors);

/// Penalties to choose from.
inline constexpr double kPenalties[] = {0.001, 0.01, 0.1, 1, 10, 100};

/// A constant matrix, and the penalty that it was found with.
struct ConstantFit {
  RowMajor<double> matrix;
  double penalty;
};
/// `ridge` about the mean attention matrix, at the best of `kPenalties`. Windows that are left out
/// have no part in the mean either.
ConstantFit ridge_about_mean_attention(const Problem& problem, std::span<const Window> windows,
                                       WindowInput input);

/// Of all matrices [queries, keys] at the least sum of ||A X - T||^2 that of least Frobenius norm.
/// Not causal: `ridge` is for what a mask shapes.
RowMajor<double> minimum_norm(const Problem& problem, std::span<const Window> windows,
                              WindowInput input);

/// left [rows, rank] times right [rank, terms].
struct Factors {
  RowMajor<double> left, right;
};
/// The product of this rank (of the matrix's own, where that is lower: then zeros follow) that is
/// nearest to `matrix` in the metric of what it is to be multiplied with: ||(matrix - left right)
/// L|| is least, where L L^T = gram + penalty mean_diagonal I. By the singular values of matrix L,
/// which makes it reduced-rank regression (Izenman, J. Multivariate Analysis 5, 1975) where
/// `matrix` is the regression of full rank.
Factors nearest_of_rank(const RowMajor<double>& matrix, const Moments& moments, double penalty,
                        Index rank);

/// A matrix F between two that differ from window to window: left F right is to be the target.
struct Sandwich {
  RowMajor<double> left, right, target;
};
/// F at which
///   sum ||left F right - target||^2 + penalty mean_diagonal ||F - prior||^2
/// is least. Its normal equations, sum L^T L F R R^T + ... = ..., are a generalised Sylvester
/// equation; mean_diagonal is that of the matrix of F.size() columns which they amount to. That is
/// never formed: conjugate gradients, preconditioned by the product of the two sums of Gram
/// matrices, go on until the residual is 1e-10 of the right-hand side. 0 < penalty.
RowMajor<double> sandwich_ridge(std::span<const Sandwich> windows, const RowMajor<double>& prior,
                                double penalty);

}  // namespace subquad
