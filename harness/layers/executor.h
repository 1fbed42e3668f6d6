#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "inputs/input.h"
#include "layers/drawn_tensors.h"
#include "layers/guarded_memory.h"
#include "layers/layer.h"
#include "layers/team.h"

namespace subquad {

/// Result of a layer: out [batch, heads, queries, value_dim], or as `layout` says; row log-sum-exps
/// where asked for.
struct LayerOutput {
  using Floats = std::vector<float, GuardedAllocator<float>>;

  Index batch = 0, heads = 0, queries = 0, value_dim = 0;
  Floats out;
  Floats log_sum_exp;  ///< [batch, heads, queries] or empty
  Layout layout = Layout::by_head;

  /// False once something was written beside either.
  bool intact() const;
  /// Fills both with NaN, so that what a pass leaves unwritten is seen.
  void poison();

  View of(Index sequence, Index head);
  ConstView of(Index sequence, Index head) const;

 private:
  Index offset(Index sequence, Index head) const;
  Index stride() const;
};

/// What the memory of one pass came to, in bytes.
struct ArenaUse {
  std::size_t declared = 0;    ///< scratch as declared, for all arenas in use
  std::size_t high_water = 0;  ///< taken at the most, summed over arenas
};

/// Scratch that an `Executor` of this layer allocates, in bytes, on sequences of full length.
std::size_t declared_scratch(const Layer& layer, Index batch, Index key_heads, int threads);
/// What it allocates beside that for `Scope::layer`: heads put together, inputs and output.
std::size_t layout_bytes(const Layer& layer, const Problem& head_problem, Index batch);

/// Runs a layer on an input. Memory for scratch, prepared keys and what `Scope::layer` needs put
/// together is allocated and touched by the constructor, so that `run` allocates nothing of its
/// own. Each thread takes call after call; one that finds no more takes tiles of those that others
/// still have, so that neither three heads on two threads nor one head on eight leaves a thread
/// idle. Where query heads share keys, `prepare` is
/// called once for those that share a variant without tensors of their own. Layer, input and
/// tensors must outlive this.
class Executor {
 public:
  /// Throws Error where the input does not fit the layer and where a variant refuses the problem of
  /// a (shorter) sequence.
  Executor(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, int threads);
  /// Likewise on the threads of `team`, which must outlive this, with an output laid out as asked:
  /// `by_row` spares `Scope::layer` a copy.
  Executor(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, Team& team,
           Layout output_layout);
  ~Executor();

  /// Sizes `output` and fills it with NaN.
  void poison(LayerOutput& output, bool want_log_sum_exp = false) const;
  /// One forward pass over all sequences and heads into `output`, which is sized if it is not.
  /// Rows beyond a sequence's length are set to zero, their log-sum-exp to -infinity. For
  /// `Scope::layer` every head gets the log-sum-exp of the row. What a variant throws is thrown
  /// here; log-sum-exps that the layer does not give are a bug (std::logic_error).
  void run(LayerOutput& output, bool want_log_sum_exp = false);

  /// Calls body() on each thread that `run` has, at the same time; each body is to wait until all
  /// have begun.
  void on_every_thread(const std::function<void()>& body);

  Work executed() const;  ///< of the last run
  ArenaUse arena() const;
  /// False once something was written beside the memory that this owns.
  bool intact() const;
  int threads_used() const;  ///< threads that took part in the last run

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The layer's reference in double on one sequence and head (call), with the choices that `tensors`
/// hold. `out` is [queries, value_dim] (of the whole width for `Scope::layer`); rows beyond the
/// sequence's length become zero, as in `Executor::run`. Throws what the variant throws.
void run_reference(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                   Index sequence, Index call, MatrixView<double> out, double* log_sum_exp);
/// The matrix [queries, keys] that the variant's output is `weights * V` with, likewise, of a
/// variant that has the power `weights`.
std::vector<double> reference_weights(const Layer& layer, const LayerInput& input,
                                      const DrawnTensors& tensors, Index sequence, Index call);

}  // namespace subquad
