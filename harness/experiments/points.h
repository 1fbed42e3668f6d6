#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "inputs/input.h"
#include "subquad/problem.h"

namespace subquad {

/// Points that are timed together: one problem, input, mode (with what stands around attention),
/// seed and number of threads.
struct Group {
  Expression input;
  Index length = 0;
  Mode mode = Mode::forward;
  Index feed_forward_chunk = 0;
  bool causal = false;
  int threads = 1;
  std::uint64_t seed = 0;
  std::optional<Expression> anchor;
  std::vector<Expression> variants;  ///< the anchor first, if there is one; each once

  std::string text() const;  ///< "gaussian, n = 512, causal, decode, 2 threads, seed 3"
};

/// Throws Error naming both options where what is to be decoded is not causal self attention, or
/// what a block is to be built around is not self attention of one width, as far as the options
/// alone tell.
void check_modes(const Experiment& experiment);

/// All groups of an experiment, in the order in which they are measured.
std::vector<Group> groups_of(const Experiment& experiment);

/// The experiment of a single point: every list holds one element, and what belongs to the input
/// (`spectrum`) is asked of the group's first variant alone. Each function below takes such a one.
Experiment single_point(const Experiment& experiment, const Group& group,
                        const Expression& variant);

/// Throws Error unless the experiment has exactly one point.
void require_single(const Experiment& experiment);

InputRequest request_of(const Experiment& single);
LayerInput make_input_of(const Experiment& single);
Problem problem_of(const Experiment& single, const LayerInput& input);
/// Tokens at the end of the sequence that a point decodes one by one, the rest being its prompt; 0
/// in a forward pass.
Index decoded_tokens(const Experiment& single, const Problem& problem);
/// The most that there are. Enough for a call to be timed well, few enough to be "at length n".
inline constexpr Index kDecodedTokens = 64;

/// Everything that the outcome of a point depends on beside code and limits, as text: its options,
/// and the hash of each file that its input reads.
std::string point_definition(const Experiment& single);
/// Names a point's record: hash of its definition, its build and the kind of machine, and, for an
/// ending that the limits brought about, of the limits.
std::string point_key(const Experiment& single, const std::string& build, bool ended_by_limit);
/// The command line that repeats the point.
std::string repeat_command(const Experiment& single);
/// Its arguments, the command's name left out.
std::vector<std::string> repeat_arguments(const Experiment& single);

/// Hash of the program, and of the plugins that `variant` uses ("+" between).
std::string build_of(const Expression& variant);
}  // namespace subquad
