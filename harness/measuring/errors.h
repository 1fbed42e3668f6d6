#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "layers/executor.h"
#include "measuring/reference.h"
#include "records/record.h"

namespace subquad {

/// Figures of an output and, where the reference is a sample of rows, their standard errors.
struct OutputErrors {
  HeadFigures figures, deviations;
};

/// `output` may hold the last query rows of `problem` alone. `with_kept_mass` needs its row
/// log-sum-exps.
OutputErrors errors_against(const Reference& reference, const LayerOutput& output,
                            const LayerInput& input, const Problem& problem, bool with_kept_mass);

/// The headline figure with random tensors drawn anew, `draws` - 1 times; nothing where none is
/// random. `run` gives the output with tensors of another seed, or false where these hold the same.
using RunWith = std::function<bool(std::uint64_t seed, LayerOutput& output)>;
std::vector<Draw> redrawn_errors(const Problem& problem, const Reference& dense, std::uint64_t seed,
                                 int draws, const RunWith& run);

/// Seed of the tensors of draw number `draw`, from 1.
std::uint64_t seed_of_draw(std::uint64_t seed, int draw);

}  // namespace subquad
