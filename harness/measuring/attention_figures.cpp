#include "measuring/attention_figures.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "measuring/reference.h"
#include "subquad/eigen.h"

namespace subquad {
namespace {

/// Columns, or rows, of the matrix that exist at a time.
constexpr Index kBlock = 512;
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

/// exp of the entropy of the singular values over their sum (Roy and Vetterli, "The effective rank:
/// a measure of effective dimensionality", EUSIPCO 2007).
double effective_rank(std::span<const double> values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  double entropy = 0;
  for (const double value : values) {
    if (value > 0) entropy -= value / sum * std::log(value / sum);
  }
  return sum > 0 ? std::exp(entropy) : 0;
}

/// How many of the largest hold a share of the squared Frobenius norm.
double holding(std::span<const double> values, double share) {
  const double all = std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  double held = 0;
  std::size_t count = 0;
  while (count < values.size() && held < share * all) {
    held += values[count] * values[count];
    ++count;
  }
  return static_cast<double>(count);
}

constexpr AttentionFigure kFigures[] = {
    {"effective_rank", "effective rank", "1",
     "exp of the entropy of the singular values, each over their sum", effective_rank},
    {"rank_90", "rank holding 90 %", "1",
     "number of singular values that hold 90 % of the squared Frobenius norm",
     [](std::span<const double> values) { return holding(values, 0.9); }},
    {"rank_99", "rank holding 99 %", "1",
     "number of singular values that hold 99 % of the squared Frobenius norm",
     [](std::span<const double> values) { return holding(values, 0.99); }},
};

/// Parts of a softmax matrix, made when they are asked for.
class AttentionParts {
 public:
  AttentionParts(ConstView q, ConstView k, const Problem& problem, std::span<const Index> rows)
      : problem_(problem), rows_(rows), q_(static_cast<Index>(rows.size()), q.cols) {
    for (Index i = 0; i < q_.rows(); ++i) {
      q_.row(i) = as_eigen(q.row_range(rows[i], 1)).cast<double>() * problem.score_scale();
    }
    k_ = as_eigen(k).cast<double>();
    sum_up();
  }

  Index rows() const { return q_.rows(); }
  Index keys() const { return k_.rows(); }

  /// [row_count, key_count].
  RowMajor<double> weights(Index row, Index row_count, Index key, Index key_count) const {
    RowMajor<double> part = scores(row, row_count, key, key_count);
    for (Index i = 0; i < row_count; ++i) {
      const double log_sum_exp = log_sum_exps_[row + i];
      if (log_sum_exp == kMinusInfinity) {
        part.row(i).setZero();
      } else {
        part.row(i) = (part.row(i).array() - log_sum_exp).exp();
      }
    }
    return part;
  }

 private:
  /// -infinity where causality hides the key.
  RowMajor<double> scores(Index row, Index row_count, Index key, Index key_count) const {
    RowMajor<double> part =
        q_.middleRows(row, row_count) * k_.middleRows(key, key_count).transpose();
    for (Index i = 0; problem_.causal && i < row_count; ++i) {
      const Index seen = problem_.position(rows_[row + i]) + 1 - key;
      const Index hidden = key_count - std::clamp<Index>(seen, 0, key_count);
      part.row(i).tail(hidden).setConstant(kMinusInfinity);
    }
    return part;
  }

  void sum_up() {
    log_sum_exps_.assign(rows_.size(), kMinusInfinity);
    for (Index key = 0; key < keys(); key += kBlock) {
      const RowMajor<double> part = scores(0, rows(), key, std::min(kBlock, keys() - key));
      for (Index i = 0; i < rows(); ++i) {
        const double most = std::max(part.row(i).maxCoeff(), log_sum_exps_[i]);
        if (most == kMinusInfinity) continue;
        const double sum =
            (part.row(i).array() - most).exp().sum() + std::exp(log_sum_exps_[i] - most);
        log_sum_exps_[i] = most + std::log(sum);
      }
    }
  }

  const Problem& problem_;
  std::span<const Index> rows_;
  RowMajor<double> q_, k_;  ///< queries are scaled
  std::vector<double> log_sum_exps_;
};

/// The lower triangle of A A^T, or of A^T A where that is smaller.
RowMajor<double> smaller_gram(const AttentionParts& a) {
  const bool by_rows = a.rows() <= a.keys();
  const Index side = std::min(a.rows(), a.keys()), across = std::max(a.rows(), a.keys());
  RowMajor<double> gram = RowMajor<double>::Zero(side, side);
  for (Index begin = 0; begin < across; begin += kBlock) {
    const Index count = std::min(kBlock, across - begin);
    if (by_rows) {
      gram.selfadjointView<Eigen::Lower>().rankUpdate(a.weights(0, side, begin, count));
    } else {
      gram.selfadjointView<Eigen::Lower>().rankUpdate(a.weights(begin, count, 0, side).transpose());
    }
  }
  return gram;
}

}  // namespace

std::span<const AttentionFigure> attention_figures() { return kFigures; }

std::vector<double> attention_singular_values(ConstView q, ConstView k, const Problem& problem,
                                              std::span<const Index> rows) {
  const RowMajor<double> gram = smaller_gram(AttentionParts(q, k, problem, rows));
  const Eigen::SelfAdjointEigenSolver<RowMajor<double>> solver(gram, Eigen::EigenvaluesOnly);
  const Eigen::VectorXd squares = solver.eigenvalues().reverse();
  const double rounding =
      squares[0] * static_cast<double>(squares.size()) * std::numeric_limits<double>::epsilon();
  std::vector<double> values;
  for (const double square : squares) values.push_back(square > rounding ? std::sqrt(square) : 0);
  return values;
}

void add_attention_figures(const LayerInput& input, const Problem& problem, Index rows,
                           Record& record) {
  for (Index sequence = 0; sequence < input.batch; ++sequence) {
    const Problem own = problem_of_sequence(problem, input, sequence);
    for (Index head = 0; head < input.heads; ++head) {
      const std::vector<Index> chosen = sampled_rows(rows, own.queries, sequence, head);
      const std::vector<double> values =
          attention_singular_values(input.q_of(sequence, head).row_range(0, own.queries),
                                    input.k_of(sequence, head).row_range(0, own.keys), own, chosen);
      for (const AttentionFigure& one : kFigures) {
        record.attention_figures[std::string(one.key)].push_back(one.figure(values));
      }
      record.attention_rows =
          std::max(record.attention_rows, static_cast<std::int64_t>(chosen.size()));
    }
  }
}

}  // namespace subquad
