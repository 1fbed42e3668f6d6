#include "measuring/metrics.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
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

constexpr Metric kMetrics[] = {
    {kHeadlineMetric, "relative error", "1", Better::lower, false,
     "Frobenius norm of the difference over that of the exact output", relative_error},
    {"spectral_error", "relative spectral error", "1", Better::lower, false,
     "largest singular value of the difference over that of the exact output", spectral_error},
    {"cosine", "cosine", "1", Better::higher, false,
     "cosine of the angle between output and exact output, each taken as one vector", cosine},
    {"max_abs_error", "largest error", "v", Better::lower, false,
     "largest absolute difference of one element", max_abs_error},
    {"row_error_p50", "row error, median", "1", Better::lower, false,
     "median over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.5); }},
    {"row_error_p90", "row error, 90 %", "1", Better::lower, false,
     "90 % quantile over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.9); }},
    {"row_error_p99", "row error, 99 %", "1", Better::lower, false,
     "99 % quantile over query rows of the row's relative error",
     [](const Comparison& c) { return row_error(c, 0.99); }},
    {"row_error_max", "row error, worst", "1", Better::lower, false,
     "largest relative error of one query row",
     [](const Comparison& c) { return row_error(c, 1); }},
    {"dropped_mass", "dropped mass", "1", Better::lower, true,
     "1 - mean over query rows of the attention mass of the keys that were kept", dropped_mass},
};

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
    if (metric.needs_log_sum_exp && comparison.kept_log_sum_exp == nullptr) continue;
    figures[std::string(metric.key)].push_back(finite ? metric.figure(comparison) : kNaN);
  }
}

}  // namespace subquad
