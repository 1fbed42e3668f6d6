#pragma once

#include <functional>
#include <memory>

#include "layers/executor.h"
#include "records/record.h"

namespace subquad {

/// What a point does again and again: a forward pass, or decoding the last tokens.
class Pass {
 public:
  virtual ~Pass() = default;

  /// Sizes `output` and fills it with NaN.
  virtual void poison(LayerOutput& output, bool want_log_sum_exp) const = 0;
  /// Once, before all else that runs.
  virtual void begin() {}
  /// Before each `run`; no part of its time.
  virtual void rewind() {}
  virtual void run(LayerOutput& output, bool want_log_sum_exp) = 0;

  /// Calls body() on each thread that `run` has, at the same time; each body is to wait until all
  /// have begun.
  virtual void on_every_thread(const std::function<void()>& body) = 0;
  /// False once something was written beside the memory that this owns.
  virtual bool intact() const { return true; }
  /// Adds what the last run took: work, memory, threads.
  virtual void describe(Record& record) const = 0;
};

/// Adds what a run took; `negative_denominators` is left to those that take it.
void add_run(const Work& executed, std::size_t scratch_bytes, int threads_used, Record& record);

/// A forward pass of the layer, or with `decoded_tokens` the decoding of so many. Layer, input and
/// tensors must outlive it.
std::unique_ptr<Pass> make_pass(const Layer& layer, const LayerInput& input,
                                const DrawnTensors& tensors, Index decoded_tokens, int threads);

/// The output of such a pass.
void run_once(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
              Index decoded_tokens, int threads, LayerOutput& output);

}  // namespace subquad
