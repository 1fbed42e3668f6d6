#include "measuring/metrics.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "measuring/statistics.h"
#include "subquad/eigen.h"
#include "subquad/error.h"

namespace subquad {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double ratio(double difference, double size) {
  if (size == 0) return difference == 0 ? 0 : difference > 0 ? kInfinity : kNaN;
  return difference / size;
}

double relative_error(const Comparison& c) {
  return ratio((as_eigen(c.output) - as_eigen(c.reference)).norm(), as_eigen(c.reference).norm());
}

/// Largest singular value, from the smaller of the two Gram matrices: squaring costs accuracy for
/// small singular values only.
double spectral_norm(const RowMajor<double>& a) {
  if (!a.allFinite()) return kNaN;
  const RowMajor<double> gram = a.rows() < a.cols() ? RowMajor<double>(a * a.transpose())
                                                    : RowMajor<double>(a.transpose() * a);
  const Eigen::SelfAdjointEigenSolver<RowMajor<double>> solver(gram, Eigen::EigenvaluesOnly);
  return std::sqrt(std::max(0.0, solver.eigenvalues()(gram.rows() - 1)));
}

double spectral_error(const Comparison& c) {
  return ratio(spectral_norm(as_eigen(c.output) - as_eigen(c.reference)),
               spectral_norm(as_eigen(c.reference)));
}

double cosine(const Comparison& c) {
  const double product = as_eigen(c.output).cwiseProduct(as_eigen(c.reference)).sum();
  const double sizes = as_eigen(c.output).norm() * as_eigen(c.reference).norm();
  // The angle to a zero matrix is not defined.
  return sizes == 0 ? kNaN : product / sizes;
}

double max_abs_error(const Comparison& c) {
  const RowMajor<double> difference = as_eigen(c.output) - as_eigen(c.reference);
  return difference.allFinite() ? difference.cwiseAbs().maxCoeff() : kNaN;
}

/// Quantile over rows of |output row - reference row| / |reference row|.
double row_error(const Comparison& c, double probability) {
  std::vector<double> errors;
  errors.reserve(c.output.rows);
  const auto output = as_eigen(c.output), reference = as_eigen(c.reference);
  for (Index i = 0; i < c.output.rows; ++i) {
    const double error = ratio((output.row(i) - reference.row(i)).norm(), reference.row(i).norm());
    if (std::isnan(error)) return kNaN;  // sorting needs an order
    errors.push_back(error);
  }
  return quantile(std::move(errors), probability);
}

/// Distances of `count` output rows from `first` on to all reference rows, squared, less the output
/// row's own square.
RowMajor<double> distances(const Comparison& c, Index first, Index count) {
  const auto reference = as_eigen(c.reference);
  RowMajor<double> result =
      -2 * as_eigen(c.output).middleRows(first, count) * reference.transpose();
  result.rowwise() += reference.rowwise().squaredNorm().transpose();
  return result;
}

/// Rows that are nearest to their own reference row; another one as near, up to rounding, does not
/// count against it.
double row_recall(const Comparison& c) {
  constexpr Index kBlock = 64;  // rows whose distances are held at a time
  const double longest = as_eigen(c.reference).rowwise().norm().maxCoeff();
  Index right = 0;
  for (Index first = 0; first < c.output.rows; first += kBlock) {
    const RowMajor<double> block = distances(c, first, std::min(kBlock, c.output.rows - first));
    for (Index i = 0; i < block.rows(); ++i) {
      const double size = as_eigen(c.output).row(first + i).norm();
      const double rounding = 1e-12 * longest * (longest + size);
      right += block(i, first + i) <= block.row(i).minCoeff() + rounding;
    }
  }
  return static_cast<double>(right) / static_cast<double>(c.output.rows);
}

double dropped_mass(const Comparison& c) {
  double kept = 0;
  Index rows = 0;
  for (Index i = 0; i < c.output.rows; ++i) {
    // A query that sees no key at all has no mass to keep.
    if (c.full_log_sum_exp[i] == -kInfinity) continue;
    kept += std::exp(c.kept_log_sum_exp[i] - c.full_log_sum_exp[i]);
    ++rows;
  }
  return rows == 0 ? 0 : 1 - kept / static_cast<double>(rows);
}

/// Share of the variance that is left in a sample without replacement (Cochran, "Sampling
/// Techniques", 1977, section 2.6).
double finite_population(Index sample, Index population) {
  return 1 - static_cast<double>(sample) / static_cast<double>(population);
}

/// The squared error is the ratio of two means over rows, whose variance is, to first order, that
/// of the residuals (Cochran, section 6.3); the root halves its relative deviation.
double relative_error_deviation(const Comparison& c, Index population) {
  const auto output = as_eigen(c.output), reference = as_eigen(c.reference);
  const Eigen::VectorXd squares = (output - reference).rowwise().squaredNorm();
  const Eigen::VectorXd sizes = reference.rowwise().squaredNorm();
  const auto count = static_cast<double>(c.output.rows);
  if (count < 2 || sizes.sum() == 0) return kNaN;
  const double squared = squares.sum() / sizes.sum();
  if (squared == 0) return 0;
  const double residual = (squares - squared * sizes).squaredNorm() / (count - 1);
  const double variance = finite_population(c.output.rows, population) * residual / count;
  return std::sqrt(variance) / sizes.mean() / (2 * std::sqrt(squared));
}

double dropped_mass_deviation(const Comparison& c, Index population) {
  std::vector<double> kept;
  for (Index i = 0; i < c.output.rows; ++i) {
    if (c.full_log_sum_exp[i] == -kInfinity) continue;
    kept.push_back(std::exp(c.kept_log_sum_exp[i] - c.full_log_sum_exp[i]));
  }
  if (kept.size() < 2) return kNaN;
  const auto count = static_cast<double>(kept.size());
  const Eigen::Map<const Eigen::VectorXd> mass(kept.data(), static_cast<Index>(kept.size()));
  const double variance = (mass.array() - mass.mean()).square().sum() / (count - 1);
  return std::sqrt(finite_population(c.output.rows, population) * variance / count);
}

constexpr Metric kMetrics[] = {
    {kHeadlineMetric, "relative error", "1", Better::lower, false,
     "Frobenius norm of the difference over that of the exact output", relative_error,
     relative_error_deviation},
    {"spectral_error", "relative spectral error", "1", Better::lower, false,
     "largest singular value of the difference over that of the exact output", spectral_error,
     nullptr},
    {"cosine", "cosine", "1", Better::higher, false,
     "cosine of the angle between output and exact output, each taken as one vector", cosine,
     nullptr},
    {"max_abs_error", "largest error", "v", Better::lower, false,
     "largest absolute difference of one element", max_abs_error, nullptr},
    {"row_error_p50", "row error, median", "1", Better::lower, false,
     "median over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.5); }, nullptr},
    {"row_error_p90", "row error, 90 %", "1", Better::lower, false,
     "90 % quantile over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.9); }, nullptr},
    {"row_error_p99", "row error, 99 %", "1", Better::lower, false,
     "99 % quantile over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.99); }, nullptr},
    {"row_error_max", "row error, worst", "1", Better::lower, false,
     "largest relative error of one query row", [](const Comparison& c) { return row_error(c, 1); },
     nullptr},
    {"row_recall", "recall of rows", "1", Better::higher, false,
     "share of query rows whose output is nearer to their own exact output than to that of any "
     "other row",
     row_recall, nullptr},
    {"dropped_mass", "dropped mass", "1", Better::lower, true,
     "1 - mean over query rows of the attention mass of the keys that were kept", dropped_mass,
     dropped_mass_deviation},
};

bool can_tell(const Metric& metric, const Comparison& comparison) {
  return !metric.needs_log_sum_exp || comparison.kept_log_sum_exp != nullptr;
}

}  // namespace

std::span<const Metric> metrics() { return kMetrics; }

const Metric& find_metric(std::string_view key) {
  std::string known;
  for (const Metric& metric : kMetrics) {
    if (metric.key == key) return metric;
    known += (known.empty() ? "" : ", ") + std::string(metric.key);
  }
  throw Error("metric '" + std::string(key) + "' is unknown (known: " + known + ")");
}

void add_figures(const Comparison& comparison, HeadFigures& figures) {
  const bool finite = as_eigen(comparison.output).allFinite();
  for (const Metric& metric : kMetrics) {
    if (!can_tell(metric, comparison)) continue;
    figures[std::string(metric.key)].push_back(finite ? metric.figure(comparison) : kNaN);
  }
}

void add_deviations(const Comparison& comparison, Index population, HeadFigures& deviations) {
  const bool finite = as_eigen(comparison.output).allFinite();
  for (const Metric& metric : kMetrics) {
    if (metric.deviation == nullptr || !can_tell(metric, comparison)) continue;
    deviations[std::string(metric.key)].push_back(finite ? metric.deviation(comparison, population)
                                                         : kNaN);
  }
}

}  // namespace subquad
