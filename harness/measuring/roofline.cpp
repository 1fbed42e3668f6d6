#include "measuring/roofline.h"

#include <algorithm>

#include "measuring/statistics.h"

namespace subquad {
namespace {

constexpr double kFlops = 2;  ///< of a multiply-add

double ratio(double over, double under) { return under > 0 ? over / under : 0; }

/// Nanoseconds that multiply-adds take at the peak of what they are done on.
double at_peak_ns(const Record& record, const Round& round, double multiply_adds) {
  const double bf16 = ratio(record.executed_bf16_multiply_adds, record.executed_multiply_adds);
  return kFlops * multiply_adds *
         (ratio(1 - bf16, round.peak_gflops) + ratio(bf16, round.bf16_peak_gflops));
}

/// The least time that the useful work can take: vectors do multiply-adds and exponentials, matrix
/// units and memory go on beside them.
double least_ns(const Record& record, const Round& round) {
  const double bf16 = ratio(record.executed_bf16_multiply_adds, record.executed_multiply_adds);
  const double flops = kFlops * record.useful_multiply_adds;
  const double vector_flops =
      (1 - bf16) * flops + record.exponential_flops * record.useful_exponentials;
  return std::max({ratio(vector_flops, round.peak_gflops),
                   ratio(bf16 * flops, round.bf16_peak_gflops),
                   ratio(record.useful_bytes * 1e9, record.memory_bytes_per_s)});
}

Roofline roofline_of(const Record& record, const Round& round) {
  const double useful_flops = kFlops * record.useful_multiply_adds;
  const double least = least_ns(record, round);
  return {
      .useful_gflops = useful_flops / round.time_ns,
      .executed_gflops = kFlops * record.executed_multiply_adds / round.time_ns,
      .intensity = ratio(useful_flops, record.useful_bytes),
      .useful_share = at_peak_ns(record, round, record.useful_multiply_adds) / round.time_ns,
      .executed_share = at_peak_ns(record, round, record.executed_multiply_adds) / round.time_ns,
      .attainable_gflops = ratio(useful_flops, least),
      .attainable_share = least / round.time_ns};
}

}  // namespace

std::vector<Roofline> rooflines(const Record& record) {
  std::vector<Roofline> all;
  for (const Round& round : record.rounds) {
    if (round.time_ns > 0 && round.peak_gflops > 0) all.push_back(roofline_of(record, round));
  }
  return all;
}

Roofline median_roofline(const Record& record) {
  const std::vector<Roofline> all = rooflines(record);
  if (all.empty()) return {};
  const auto median_of = [&](double Roofline::*figure) {
    std::vector<double> values;
    for (const Roofline& one : all) values.push_back(one.*figure);
    return median(values);
  };
  return {.useful_gflops = median_of(&Roofline::useful_gflops),
          .executed_gflops = median_of(&Roofline::executed_gflops),
          .intensity = median_of(&Roofline::intensity),
          .useful_share = median_of(&Roofline::useful_share),
          .executed_share = median_of(&Roofline::executed_share),
          .attainable_gflops = median_of(&Roofline::attainable_gflops),
          .attainable_share = median_of(&Roofline::attainable_share)};
}

}  // namespace subquad
