#include "comparing/paired_test.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "report/models.h"

namespace subquad {
namespace {

double mean(const double* begin, const double* end) {
  return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}

double squares_around(const std::vector<double>& values, double centre) {
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return sum;
}

MeanTest t_test(double mean, double standard_error, double freedom) {
  // Equal values: their mean is certain.
  if (standard_error == 0) return {mean, mean, mean, mean == 0 ? 1.0 : 0.0};
  const boost::math::students_t t(freedom);
  const double margin = standard_error * boost::math::quantile(t, (1 + kConfidence) / 2);
  const double p = 2 * boost::math::cdf(t, -std::abs(mean) / standard_error);
  return {mean, mean - margin, mean + margin, p};
}

}  // namespace

MeanTest trimmed_test(std::vector<double> values) {
  const std::size_t count = values.size();
  if (count < 2) throw std::logic_error("trimmed_test: needs two values");
  std::sort(values.begin(), values.end());
  const auto cut = static_cast<std::size_t>(kTrimmed * static_cast<double>(count));
  const auto kept = static_cast<double>(count - 2 * cut);
  const double centre = mean(values.data() + cut, values.data() + count - cut);
  for (std::size_t i = 0; i < cut; ++i) {
    values[i] = values[cut];
    values[count - 1 - i] = values[count - 1 - cut];
  }
  const double squares = squares_around(values, mean(values.data(), values.data() + count));
  return t_test(centre, std::sqrt(squares / (kept * (kept - 1))), kept - 1);
}

MeanTest welch_test(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() < 2 || b.size() < 2) throw std::logic_error("welch_test: needs two values each");
  struct Part {
    double mean, variance, freedom;  // of the mean
  };
  const auto part = [](const std::vector<double>& values) -> Part {
    const double centre = mean(values.data(), values.data() + values.size());
    const auto count = static_cast<double>(values.size());
    return {centre, squares_around(values, centre) / (count - 1) / count, count - 1};
  };
  const Part of_a = part(a), of_b = part(b);
  const double variance = of_a.variance + of_b.variance;
  const double freedom =
      variance * variance /
      (of_a.variance * of_a.variance / of_a.freedom + of_b.variance * of_b.variance / of_b.freedom);
  return t_test(of_b.mean - of_a.mean, std::sqrt(variance), freedom);
}

std::vector<double> holm_adjusted(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return p[i] < p[j]; });
  std::vector<double> adjusted(p.size());
  double highest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto left = static_cast<double>(order.size() - rank);
    highest = std::max(highest, std::min(1.0, left * p[order[rank]]));
    adjusted[order[rank]] = highest;
  }
  return adjusted;
}

}  // namespace subquad
