#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "inputs/input.h"
#include "records/hash.h"
#include "subquad/problem.h"

namespace subquad {

/// Exact output at some query rows of one (sequence, head), in double.
struct ReferenceHead {
  std::vector<Index> rows;          ///< increasing
  std::vector<double> out;          ///< [rows, value_dim]
  std::vector<double> log_sum_exp;  ///< [rows]
};

/// Exact output of a dense attention on an input.
struct Reference {
  Index value_dim = 0;
  Index rows = 0;                    ///< per head, at the most
  bool sampled = false;              ///< fewer than all
  std::vector<ReferenceHead> heads;  ///< sequences outermost
};

/// What a dense target computes, from its own `reference`, for at most `rows` query rows of each
/// (sequence, head): all of them, or a sample without replacement that depends on sequence, head
/// and length alone; with `last`, all or a sample of the last so many (a decoder's). One query row
/// at a time where the target's rows do not depend on one another: that is so of plain `dense`, and
/// of `dense` whose keys are normalised queries once those are given as keys. Any other target is
/// computed whole, up to kWholeReferenceKeys keys; beyond, nothing is returned.
///
/// Kept on disk (cache_folder) under a hash of input, problem, rows, target and program; a file
/// that is damaged is computed anew, and one that cannot be written costs nothing but that (see
/// take_cache_problem). Processes may ask for the same one at the same time.
std::optional<Reference> reference_of(const Expression& target, const LayerInput& input,
                                      const Problem& problem, Index rows, Index last = 0);

/// The output of a dense target at `result.rows` of one head, from matrices in double, one query
/// row at a time: fills `result`. False where the target's rows depend on one another
/// (reference_of).
bool reference_rows(const Expression& target, MatrixView<const double> q,
                    MatrixView<const double> k, MatrixView<const double> v, const Problem& problem,
                    ReferenceHead& result);

/// What `compute` returns, kept on disk in the same way under `identity`, a hash of everything that
/// it depends on.
std::optional<Reference> kept_reference(const Hash& identity,
                                        const std::function<std::optional<Reference>()>& compute);
/// Adds what a reference of `target` on an input depends on, program and plugins included.
void add_identity(const Expression& target, const LayerInput& input, const Problem& problem,
                  Hash& identity);

/// Why references could not be kept on disk, told once per process: later failures are for the same
/// reason, as a rule.
std::optional<std::string> take_cache_problem();

inline constexpr Index kWholeReferenceKeys = 1024;

/// The same without the disk.
std::optional<Reference> compute_reference(const Expression& target, const LayerInput& input,
                                           const Problem& problem, Index rows, Index last = 0);

/// $SUBQUAD_CACHE, or .cache/reference under the working directory.
std::string cache_folder();

/// The rows that a sample of one (sequence, head) consists of.
std::vector<Index> sampled_rows(Index count, Index queries, Index sequence, Index head);

/// The problem of one sequence: fewer keys, and in self attention fewer queries, than others have.
Problem problem_of_sequence(const Problem& problem, const LayerInput& input, Index sequence);

}  // namespace subquad
