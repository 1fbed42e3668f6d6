#pragma once

#include <optional>
#include <string>

namespace subquad {

/// Draws every figure of the run in `results_dir` into `results_dir`/figures, with the scripts in
/// `plots_dir`. Returns why there are none (no scripts, no matplotlib, nothing to draw), or nothing
/// if they were drawn: a run without figures is a run none the less.
std::optional<std::string> draw_figures(const std::string& results_dir,
                                        const std::string& plots_dir);

/// Draws the matrices that the JSON file `matrices` holds (plots/attention_matrix.py says how) into
/// `picture`, a .png or .svg. Returns why it could not, or nothing.
std::optional<std::string> draw_matrices(const std::string& matrices, const std::string& picture,
                                         const std::string& plots_dir);

/// Where the scripts lie, seen from the program.
std::string plots_folder();

}  // namespace subquad
