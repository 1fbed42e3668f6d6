#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "contract/trial.h"
#include "contract/workbench.h"

namespace subquad::contract {

/// What a clause says of one trial.
struct Verdict {
  enum class Kind { kept, broken, skipped };
  Kind kind = Kind::kept;
  std::string text;  ///< what was found, why the clause does not apply, or a remark

  /// With a remark for the report, or without.
  static Verdict kept(std::string remark = {}) { return {Kind::kept, std::move(remark)}; }
  static Verdict broken(std::string text) { return {Kind::broken, std::move(text)}; }
  static Verdict skipped(std::string text) { return {Kind::skipped, std::move(text)}; }
  /// Broken with this text, kept without one.
  static Verdict unless(std::optional<std::string> finding) {
    return finding ? broken(*std::move(finding)) : kept();
  }
};

struct Clause {
  ClauseInfo info;
  Groups groups;  ///< trials that it looks at
  Verdict (*check)(const Trial&);
  enum class Needs {
    forward,  ///< that forward returns
    nothing,
    same_bits,  ///< that bits do not change anyway: it compares those of different calls
    values,     ///< that forward equals the reference on the same trial
  } needs = Needs::forward;
};
std::span<const Clause> clauses();

// ---- comparisons (compare.cpp) ------------------------------------------------------------------

/// A float program may differ from the same computation in double by
///
///     c x epsilon x max(1, largest |score|) x largest |output|,   c = 32, epsilon = 2^-23.
///
/// A weight exp(score) inherits the absolute error of its score as a relative one. That error is a
/// few roundings of |score|: the products and sums of the dot product (at most dim / lanes + log2
/// lanes in a row, 5 for 16 columns in 8 lanes), scaling, subtraction of the maximum, the argument
/// of exp; exp itself adds 2 units. So about 10, for numerator and denominator alike: 20, and sums
/// over keys in blocks bring it to 32. Where no score is formed the factor max(1, ...) is slack.
inline constexpr double kTolerance = 32 * 0x1p-23;
/// The factor max(1, largest |score|) of these inputs.
double conditioning(const Problem& problem, const Inputs& inputs);
/// kTolerance and what rounded operands add to it (kOperandFactor, measuring/arithmetic.h).
double unit_tolerance(const Variant& variant);
/// What the difference may be, as a share of the largest |output|.
double tolerance_of(const Variant& variant, const Problem& problem, const Inputs& inputs);

/// How `got` ([rows, cols], row-major) fails to equal `want`, or nothing. `relative` is multiplied
/// by the largest |want|.
std::optional<std::string> differs(const std::vector<float>& got, const std::vector<double>& want,
                                   Index cols, double relative);
/// How what `forward` gives on the bench is off the reference, beyond tolerance_of.
std::optional<std::string> off_reference(const Bench& bench);
/// As `differs`, for row log-sum-exps: error up to `relative` x max(largest score, |want|),
/// infinities must agree.
std::optional<std::string> log_sum_exp_differs(const std::vector<float>& got,
                                               const std::vector<double>& want,
                                               double largest_score, double relative);
/// Where bits of outputs, row log-sum-exps or choices differ, or nothing.
std::optional<std::string> bits_differ(const Result& got, const Result& want,
                                       const Problem& problem);
/// Where bits of the first `count` values differ.
std::optional<std::string> bits_differ(const std::vector<float>& got,
                                       const std::vector<float>& want, Index cols,
                                       std::size_t count);

// ---- the clauses, by file -----------------------------------------------------------------------

// clauses_declared.cpp
Verdict declarations(const Trial& trial);
Verdict initialisers(const Trial& trial);
Verdict refusals(const Trial& trial);
Verdict forward_returns(const Trial& trial);
Verdict cost(const Trial& trial);
Verdict executed_work(const Trial& trial);

// clauses_values.cpp
Verdict equals_reference(const Trial& trial);
Verdict log_sum_exp(const Trial& trial);
Verdict exact_when(const Trial& trial);
Verdict weights(const Trial& trial);
Verdict extreme_scores(const Trial& trial);
Verdict key_order(const Trial& trial);
Verdict strided_views(const Trial& trial);

// clauses_bits.cpp
Verdict same_bits(const Trial& trial);
Verdict threads(const Trial& trial);
Verdict other_calls(const Trial& trial);
Verdict future_keys(const Trial& trial);
Verdict undefined_scratch(const Trial& trial);
Verdict writes_everything(const Trial& trial);

// clauses_memory.cpp
Verdict stays_inside(const Trial& trial);
Verdict inputs_unchanged(const Trial& trial);
Verdict allocates_nothing(const Trial& trial);
Verdict scratch(const Trial& trial);

// clauses_powers.cpp
Verdict plan(const Trial& trial);
Verdict stream(const Trial& trial);
Verdict prepare(const Trial& trial);

// clauses_fitting.cpp
Verdict calibrate(const Trial& trial);

}  // namespace subquad::contract
