// Clauses about the values that forward gives.

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "contract/clause.h"

namespace subquad::contract {
namespace {

/// Scores of about this size are beyond what exp can take without care, in float and in double.
constexpr double kExtremeScore = 1e4;
/// Scores of a sharp softmax, still far from overflow.
constexpr double kSharpScore = 30;

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// The factor that makes the largest score of the trial's inputs `score`.
double sharpness_for(const Trial& trial, double score) {
  const double largest = largest_score(trial.problem, draw_inputs(trial.problem, trial.seed));
  return score / std::max(largest, 1e-6);
}

std::optional<std::string> fails_at_extremes(const Bench& bench) {
  const Result result = bench.run();
  for (const float value : result.log_sum_exp) {
    if (std::isnan(value) || value == std::numeric_limits<float>::infinity()) {
      return fmt::format("row_log_sum_exp is {}", value);
    }
  }
  InDouble reference(*bench.variant, bench.problem, bench.inputs, bench.tensors);
  reference.run();
  const double tolerance = tolerance_of(*bench.variant, bench.problem, bench.inputs);
  return differs(result.out, reference.out, bench.problem.value_dim, tolerance);
}

}  // namespace

Verdict equals_reference(const Trial& trial) {
  if (auto found = off_reference(Bench(trial))) return Verdict::broken(*found);
  if (trial.group != Group::round) return Verdict::kept();
  const double sharpness = sharpness_for(trial, kSharpScore);
  if (auto found = off_reference(Bench(trial, sharpness))) {
    return Verdict::broken(fmt::format("scores up to {}: {}", kSharpScore, *found));
  }
  return Verdict::kept();
}

Verdict log_sum_exp(const Trial& trial) {
  const Bench bench(trial);
  if (!bench.variant->gives_log_sum_exp()) return Verdict::skipped("gives no log-sum-exp");
  const Result result = bench.run();
  InDouble reference(*bench.variant, bench.problem, bench.inputs, bench.tensors);
  reference.run();
  const double tolerance = tolerance_of(*bench.variant, bench.problem, bench.inputs);
  if (auto found = log_sum_exp_differs(result.log_sum_exp, reference.log_sum_exp,
                                       conditioning(bench.problem, bench.inputs),
                                       unit_tolerance(*bench.variant))) {
    return Verdict::broken(*found);
  }
  // Whether anybody asks must not matter to the output.
  const Result unasked = bench.run({.log_sum_exp = false});
  const auto found = differs(unasked.out, widened(result.out), bench.problem.value_dim, tolerance);
  return Verdict::unless(found ? std::optional("with no log-sum-exp asked for, " + *found)
                               : std::nullopt);
}

Verdict exact_when(const Trial& trial) {
  const std::string claim = trial.make()->exact_when(trial.problem);
  if (claim.empty()) return Verdict::skipped("claims no exact setting");
  const std::string name(trial.registration->info.name);
  Trial exact = trial;
  exact.setting = merged(trial.setting, parse_expression(name + "(" + claim + ")").arguments);
  const Bench bench(exact);
  if (const std::string reason = refusal_of(*bench.variant, trial.problem); !reason.empty()) {
    return Verdict::broken("refuses its exact setting " + claim + ": " + reason);
  }
  if (off_reference(bench)) return Verdict::skipped("forward is off its own reference there");
  const std::string target_text = bench.variant->dense_target(trial.problem);
  const auto target = make_variant(parse_expression(target_text), trial.problem);
  if (const std::string reason = refusal_of(*target, trial.problem); !reason.empty()) {
    return Verdict::broken("its dense target " + target_text + " refuses: " + reason);
  }
  const Result result = bench.run();
  const BenchTensors tensors(*target, trial.problem, trial.seed);
  InDouble reference(*target, trial.problem, bench.inputs, tensors);
  reference.run();
  const double tolerance = tolerance_of(*bench.variant, trial.problem, bench.inputs);
  const auto found = differs(result.out, reference.out, trial.problem.value_dim, tolerance);
  return Verdict::unless(
      found ? std::optional("at " + claim + " against " + target_text + ": " + *found)
            : std::nullopt);
}

Verdict weights(const Trial& trial) {
  if (!trial.registration->powers.weights) return Verdict::skipped("gives no weights");
  const Bench bench(trial);
  bench.run();  // for the choices
  const Problem& problem = trial.problem;
  InDouble reference(*bench.variant, problem, bench.inputs, bench.tensors);
  reference.run();
  const std::vector<double> matrix = reference.weights();
  std::vector<float> product(reference.out.size());
  for (Index i = 0; i < problem.queries; ++i) {
    for (Index c = 0; c < problem.value_dim; ++c) {
      double sum = 0;
      for (Index j = 0; j < problem.keys; ++j) {
        const double weight = matrix[i * problem.keys + j];
        if (problem.causal && j > problem.position(i) && weight != 0) {
          return Verdict::broken(fmt::format("query {} gives weight to the future key {}", i, j));
        }
        sum += weight * bench.inputs.v[j * problem.value_dim + c];
      }
      product[i * problem.value_dim + c] = static_cast<float>(sum);
    }
  }
  // Both sides are double; `product` was rounded once.
  const auto found = differs(product, reference.out, problem.value_dim, 0x1p-22);
  return Verdict::unless(found ? std::optional("weights x V against the reference: " + *found)
                               : std::nullopt);
}

Verdict extreme_scores(const Trial& trial) {
  const double sharpness = sharpness_for(trial, kExtremeScore);
  if (auto found = fails_at_extremes(Bench(trial, sharpness))) return Verdict::broken(*found);
  // Methods that read K itself as a score see extreme ones only if K alone is large.
  Bench bench(trial);
  for (float& value : bench.inputs.k) value *= static_cast<float>(sharpness);
  const auto found = fails_at_extremes(bench);
  return Verdict::unless(found ? std::optional("with large K: " + *found) : std::nullopt);
}

Verdict key_order(const Trial& trial) {
  Bench bench(trial);
  const Problem& problem = trial.problem;
  if (!bench.variant->ignores_key_order(problem)) return Verdict::skipped("depends on key order");
  const Result before = bench.run();
  std::vector<Index> order(static_cast<std::size_t>(problem.keys));
  std::iota(order.begin(), order.end(), Index{0});
  Generator random(trial.seed, 99);
  for (Index i = problem.keys; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  const auto permute = [&](std::vector<float>& rows, Index cols) {
    const std::vector<float> old = rows;
    for (Index j = 0; j < problem.keys; ++j) {
      std::copy_n(old.begin() + order[j] * cols, cols, rows.begin() + j * cols);
    }
  };
  permute(bench.inputs.k, problem.dim);
  permute(bench.inputs.v, problem.value_dim);
  const Result after = bench.run();
  const double tolerance = tolerance_of(*bench.variant, problem, bench.inputs);
  return Verdict::unless(differs(after.out, widened(before.out), problem.value_dim, tolerance));
}

Verdict strided_views(const Trial& trial) {
  const Bench bench(trial);
  const Result packed = bench.run();
  const Result strided = bench.run({.padding = 3, .offset = 1});
  if (packed.written_outside.empty() && !strided.written_outside.empty()) {
    return Verdict::broken("writes between the rows of a strided view: " + strided.written_outside);
  }
  const double tolerance = tolerance_of(*bench.variant, trial.problem, bench.inputs);
  return Verdict::unless(
      differs(strided.out, widened(packed.out), trial.problem.value_dim, tolerance));
}

}  // namespace subquad::contract
