#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "contract/clause.h"
#include "measuring/arithmetic.h"

namespace subquad::contract {
namespace {

std::string at(std::size_t index, Index cols) {
  const auto flat = static_cast<Index>(index);
  return cols == 1 ? fmt::format("row {}", flat)
                   : fmt::format("({}, {})", flat / cols, flat % cols);
}

}  // namespace

double conditioning(const Problem& problem, const Inputs& inputs) {
  return std::max(1.0, largest_score(problem, inputs));
}

double unit_tolerance(const Variant& variant) {
  return kTolerance + kOperandFactor * variant.operand_roundoff();
}

double tolerance_of(const Variant& variant, const Problem& problem, const Inputs& inputs) {
  return unit_tolerance(variant) * conditioning(problem, inputs);
}

std::optional<std::string> differs(const std::vector<float>& got, const std::vector<double>& want,
                                   Index cols, double relative) {
  double largest = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(want[i])) {
      return fmt::format("the reference is not finite at {}: {}", at(i, cols), want[i]);
    }
    largest = std::max(largest, std::abs(want[i]));
  }
  const double tolerance = relative * largest;
  std::size_t worst = 0;
  double worst_error = -1;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) {
      return fmt::format("out {} is {}, expected {:.9g}", at(i, cols), got[i], want[i]);
    }
    const double error = std::abs(got[i] - want[i]);
    if (error > worst_error) {
      worst = i;
      worst_error = error;
    }
  }
  if (worst_error <= tolerance) return std::nullopt;
  return fmt::format("out {} is {:.9g}, expected {:.9g}: off by {:.2g}, tolerance {:.2g}",
                     at(worst, cols), got[worst], want[worst], worst_error, tolerance);
}

std::optional<std::string> off_reference(const Bench& bench) {
  const Result result = bench.run();
  InDouble reference(*bench.variant, bench.problem, bench.inputs, bench.tensors);
  reference.run();
  const double tolerance = tolerance_of(*bench.variant, bench.problem, bench.inputs);
  return differs(result.out, reference.out, bench.problem.value_dim, tolerance);
}

std::optional<std::string> log_sum_exp_differs(const std::vector<float>& got,
                                               const std::vector<double>& want,
                                               double largest_score, double relative) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    // A float near L is off by epsilon x L, and L may lie far below the scores: a penalty of 1e5
    // for a token that sees only itself.
    const double tolerance = relative * std::max(largest_score, std::abs(want[i]));
    const bool equal = std::isfinite(want[i]) ? std::abs(got[i] - want[i]) <= tolerance
                                              : static_cast<double>(got[i]) == want[i];
    if (!equal) {
      return fmt::format("row_log_sum_exp of query {} is {:.9g}, expected {:.9g}, tolerance {:.2g}",
                         i, got[i], want[i], tolerance);
    }
  }
  return std::nullopt;
}

std::optional<std::string> bits_differ(const std::vector<float>& got,
                                       const std::vector<float>& want, Index cols,
                                       std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      return fmt::format("{} is {:.9g}, was {:.9g}", at(i, cols), got[i], want[i]);
    }
  }
  return std::nullopt;
}

std::optional<std::string> bits_differ(const Result& got, const Result& want,
                                       const Problem& problem) {
  if (auto found = bits_differ(got.out, want.out, problem.value_dim, want.out.size())) {
    return "out " + *found;
  }
  if (auto found = bits_differ(got.log_sum_exp, want.log_sum_exp, 1, want.log_sum_exp.size())) {
    return "row_log_sum_exp, " + *found;
  }
  if (got.choices != want.choices) return "the choice tensors differ";
  return std::nullopt;
}

}  // namespace subquad::contract
