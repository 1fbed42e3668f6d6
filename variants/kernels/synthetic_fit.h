#pragma once

#include <span>
#include <vector>

#include "subquad/eigen.h"
#include "subquad/variant.h"

namespace subquad {

/// Scores fitted to the attention of calibration windows, in double. None of this runs in a forward
/// pass; it allocates as it likes.

/// Logarithm of the mean attention matrix (kernels/calibration.h). A mean weight below the smallest
/// normal float, and so one of a pair that the mask hides, counts as that.
RowMajor<double> log_mean_attention(const Problem& problem, std::span<const Window> windows);
/// Softmax does not see what is added to a whole row: here the mean over what the mask leaves is
/// taken off, and what it hides becomes 0.
void centre_rows(const Problem& problem, RowMajor<double>& scores);
/// scale q k^T of one window, centred: its log attention but for a shift of each row, and finite
/// however small a weight is.
RowMajor<double> centred_scores(const Problem& problem, const Window& window);

/// left right^T is the nearest to a matrix [rows, cols], in Frobenius norm, of that rank.
struct LowRankFactors {
  RowMajor<double> left;   ///< [rows, rank]
  RowMajor<double> right;  ///< [cols, rank]
};
/// By singular values, half of each (its square root) on either side. Columns beyond
/// min(rows, cols) are 0. Throws Error for a matrix that is not finite.
LowRankFactors nearest_factors(const RowMajor<double>& matrix, Index rank);

/// Scores that are linear in features of the query alone: w_j^T h_i for key j. Ridge regression of
/// the windows' centred scores s, for each key over the queries that see it:
///
///   sum over windows and i of (w_j^T h_i - s_ij)^2 + penalty |w_j|^2,
///   penalty = relative_penalty * (mean square of a feature, summed over the rows of all windows)
class ScoreRidge {
 public:
  /// `features`: [queries, inner] of each window.
  ScoreRidge(const Problem& problem, std::span<const Window> windows,
             std::vector<RowMajor<double>> features);

  /// Penalty for a single window, which leaves nothing to choose one by.
  static constexpr double kLoneWindow = 1e-3;
  /// Of powers of ten from 1e-4 to 1, the one at which windows left out, one after another, are
  /// predicted best.
  double relative_penalty() const;
  /// All w: [keys, inner].
  RowMajor<double> fit(double relative_penalty) const {
    return fit_without(kNone, relative_penalty);
  }
  /// Sum over the windows, which are those given to the constructor, of the squared distance of
  /// softmax(scores by w) V from the target: what a fit of scores is for, and not what it
  /// minimises.
  double output_error(std::span<const Window> windows, const RowMajor<double>& w) const;

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  RowMajor<double> fit_without(std::size_t left_out, double relative_penalty) const;
  double squared_error(std::size_t window, const RowMajor<double>& w) const;

  Problem problem_;
  std::vector<RowMajor<double>> features_;
  std::vector<RowMajor<double>> scores_;
};

}  // namespace subquad
