#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "subquad/problem.h"

namespace subquad {

/// A name with arguments, such as `lsh(rounds=4,bucket=n/32)` or
/// `heads(local(radius=64),strided(stride=sqrt(n)))`. Variants and inputs are spelled this way on
/// the command line, in configs, records and plot labels alike. Names and keys are [a-z][a-z0-9_]*.
/// A value is whatever stands before the next `,` or `)` outside parentheses, less the space around
/// it: plain text (UTF-8) on one line. At most 10000 characters and 32 levels of parentheses.
struct Expression {
  /// Either `key=value`, the value still as it was written, or (key empty) a nested expression.
  struct Argument {
    std::string key;
    std::string value;
    std::vector<Expression> nested;  ///< one element when `key` is empty
  };

  std::string name;
  std::vector<Argument> arguments;

  /// The canonical spelling: no spaces, arguments in their order; parses back to the same.
  std::string text() const;
};

/// Parses one expression. A mistake throws Error that shows the text and the column.
Expression parse_expression(std::string_view text);

/// What the sweeps of an expression stand for: how many expressions, and roughly the bytes of
/// memory that these take. Counted without making them, in floating point: both can be very large.
struct SweepSize {
  double count = 1, bytes = 0;
};
SweepSize sweep_size(const Expression& expression);

/// `radius=16|64|256` stands for three expressions; all combinations, in order, nested ones too.
/// Throws Error where these are more than kMaxSweepSize or take more than kMaxSweepBytes.
std::vector<Expression> expand_sweeps(const Expression& expression);

/// Evaluates a value such as `64`, `n/8`, `sqrt(n)`, `2*log2(n)`, `min(n, 512)`. Variables: `n` and
/// `keys` (number of keys), `queries`, `dim`, `value_dim`. Operators + - * / ^ and parentheses;
/// functions sqrt, log2, min, max, floor, ceil, round. Throws Error, also for what has no finite
/// value.
double evaluate(std::string_view value, const Problem& problem);

}  // namespace subquad
