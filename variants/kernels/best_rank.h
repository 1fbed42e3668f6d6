#pragma once

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

/// The best approximation A_r of a matrix A [rows, cols] by one of rank r: its singular value
/// decomposition, cut off. No matrix of that rank is nearer in Frobenius norm, nor in any norm that
/// rotations leave alone (Eckart and Young 1936; Mirsky 1960).
///
/// Ties: singular values within kTie (relatively) of the r-th are kept as well. The best
/// approximation is not unique where they coincide, as in a matrix of zeros and ones, and without
/// this rule rounding would decide.
///
/// Two ways. With a short side of up to kDirectSide, or where a basis for the other way would be
/// about as large as that side: all eigenvectors of the smaller Gram matrix. What squaring costs: a
/// singular value s carries an error of about epsilon s_1^2 / s, so A_r is a best approximation to
/// about 1e-8 s_1 in any norm. Otherwise block Krylov iteration (Musco and Musco 2015,
/// arXiv:1504.05477, algorithm 2): from kSpare more random rows than the rank, a basis of the
/// blocks X, X G, X G^2, ..., kBlocks of them (G the smaller Gram matrix), orthonormalised block by
/// block, and in it the best directions (Rayleigh and Ritz); these start another round, kRounds in
/// all, in the same memory. The squared norm that is captured falls short of the best by less than
/// 1e-6 of it. Ties are then kept as far as the basis holds them.
class BestRank {
 public:
  static constexpr Index kDirectSide = 512;
  static constexpr double kTie = 1e-6;

  BestRank(Index rows, Index cols, Index rank);

  /// out [rows, width] = or, with `accumulate`, += A_r v for v [cols, width].
  void multiply(MatrixView<const double> a, MatrixView<const double> v, MatrixView<double> out,
                Run& run, bool accumulate = false) const;
  Scratch scratch(Index width) const;
  /// Those of products, at the most: how many singular values coincide is up to the data. Finding
  /// eigenvectors is not counted.
  double multiply_adds(Index width) const;

 private:
  static constexpr Index kBlocks = 5;
  static constexpr Index kRounds = 3;
  static constexpr Index kSpare = 8;
  class Call;

  bool whole() const { return rank_ >= side_; }  ///< nothing is cut off
  bool direct() const;
  Index block() const { return rank_ + kSpare; }
  Index basis_rows() const { return direct() ? side_ : kBlocks * block(); }

  Index rows_, cols_, rank_;
  Index side_;    ///< the shorter one, to which the basis belongs
  Index across_;  ///< the other
};

}  // namespace subquad
