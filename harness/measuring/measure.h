#pragma once

#include <cstdint>
#include <memory>

#include "experiments/experiment.h"
#include "inputs/input.h"
#include "layers/layer.h"
#include "measuring/timing.h"
#include "records/record.h"

namespace subquad {

/// The record of a point before anything was measured: what was asked, and where it can be said,
/// what the layer declares. Status `failed` until somebody knows better.
Record blank_record(const Experiment& single, const LayerInput& input, const Problem& problem);
void describe_layer(const Layer& layer, const LayerInput& input, int threads, Record& record);

/// One point, measured in this process. docs/measuring.md tells what is done and why.
class PointMeasurement {
 public:
  /// Set-up: input, tensors, memory.
  explicit PointMeasurement(const Experiment& single);
  ~PointMeasurement();

  /// First forward pass, with its memory; correctness, errors, arithmetic. Sets the status.
  void check();
  /// One timing pass.
  TimedPass time();
  const Record& record() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a point's process does: measures over the channel, as long as the parent asks. Returns the
/// exit code. Messages are JSON, one a line: the record after the checks; then for every line that
/// arrives the time of one pass, or {"status", "reason"} if that ended badly.
int serve_point(const Experiment& single, int channel);

}  // namespace subquad
