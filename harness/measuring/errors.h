#pragma once

#include <vector>

#include "layers/executor.h"
#include "measuring/reference.h"
#include "records/record.h"

namespace subquad {

/// Figures of an output and, where the reference is a sample of rows, their standard errors.
struct OutputErrors {
  HeadFigures figures, deviations;
};

/// `with_kept_mass` needs the output's row log-sum-exps.
OutputErrors errors_against(const Reference& reference, const LayerOutput& output,
                            const LayerInput& input, const Problem& problem, bool with_kept_mass);

/// The headline figure of `layer` with its random tensors drawn anew, `draws` - 1 times; nothing
/// where none of its tensors is random.
std::vector<Draw> redrawn_errors(const Layer& layer, const LayerInput& input,
                                 const Reference& dense, std::uint64_t seed, int draws,
                                 int threads);

/// Seed of the tensors of draw number `draw`, from 1.
std::uint64_t seed_of_draw(std::uint64_t seed, int draw);

}  // namespace subquad
