#include "measuring/errors.h"

#include <algorithm>
#include <utility>

#include "measuring/metrics.h"
#include "subquad/random.h"

namespace subquad {
namespace {

/// Rows of a head, in double. `from` begins with row `first`.
std::vector<double> gather(ConstView from, const std::vector<Index>& rows, Index first) {
  std::vector<double> gathered;
  gathered.reserve(rows.size() * static_cast<std::size_t>(from.cols));
  for (const Index row : rows) {
    const float* values = from.row(row - first);
    gathered.insert(gathered.end(), values, values + from.cols);
  }
  return gathered;
}

/// Calls with_comparison(comparison, sequence) for every head that the reference holds.
template <class WithComparison>
void for_each_head(const Reference& reference, const LayerOutput& output, const Problem& problem,
                   bool with_kept_mass, WithComparison with_comparison) {
  const Index first = problem.queries - output.queries;
  for (Index index = 0; index < static_cast<Index>(reference.heads.size()); ++index) {
    const ReferenceHead& exact = reference.heads[static_cast<std::size_t>(index)];
    const auto count = static_cast<Index>(exact.rows.size());
    const Index sequence = index / output.heads;
    const std::vector<double> rows =
        gather(output.of(sequence, index % output.heads), exact.rows, first);
    std::vector<double> kept;
    if (with_kept_mass) {
      const ConstView all(output.log_sum_exp.data() + index * output.queries, output.queries, 1);
      kept = gather(all, exact.rows, first);
    }
    with_comparison(
        Comparison{.output = {rows.data(), count, reference.value_dim},
                   .reference = {exact.out.data(), count, reference.value_dim},
                   .kept_log_sum_exp = with_kept_mass ? kept.data() : nullptr,
                   .full_log_sum_exp = with_kept_mass ? exact.log_sum_exp.data() : nullptr},
        sequence);
  }
}

}  // namespace

OutputErrors errors_against(const Reference& reference, const LayerOutput& output,
                            const LayerInput& input, const Problem& problem, bool with_kept_mass) {
  OutputErrors errors;
  for_each_head(reference, output, problem, with_kept_mass,
                [&](const Comparison& comparison, Index sequence) {
                  add_figures(comparison, errors.figures);
                  if (!reference.sampled) return;
                  const Problem own = problem_of_sequence(problem, input, sequence);
                  add_deviations(comparison, std::min(own.queries, output.queries),
                                 errors.deviations);
                });
  return errors;
}

std::vector<Draw> redrawn_errors(const Problem& problem, const Reference& dense, std::uint64_t seed,
                                 int draws, const RunWith& run) {
  std::vector<Draw> all;
  const Metric& headline = find_metric(kHeadlineMetric);
  for (int draw = 1; draw < draws; ++draw) {
    Draw one{.seed = seed_of_draw(seed, draw)};
    LayerOutput output;
    if (!run(one.seed, output)) break;
    for_each_head(dense, output, problem, false, [&](const Comparison& comparison, Index) {
      one.error.push_back(headline.figure(comparison));
    });
    all.push_back(std::move(one));
  }
  return all;
}

std::uint64_t seed_of_draw(std::uint64_t seed, int draw) {
  // Below 2^53, so that any reader of JSON gets the number that was meant.
  Generator random(seed, static_cast<std::uint64_t>(draw));
  const std::uint64_t high = random.bits() >> 11;
  return high << 32 | random.bits();
}

}  // namespace subquad
