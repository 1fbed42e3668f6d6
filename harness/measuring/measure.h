#pragma once

#include <cstdint>
#include <memory>

#include "experiments/experiment.h"
#include "inputs/input.h"
#include "layers/layer.h"
#include "measuring/timing.h"
#include "records/record.h"

namespace subquad {

/// The record of a point before anything was measured: what was asked. Status `failed` until
/// somebody knows better.
Record blank_record(const Experiment& single, const LayerInput& input, const Problem& problem);
/// Adds what the layer declares.
void describe_layer(const Layer& layer, Record& record);
/// Parts of that: bytes of the layer's tensors by role, added to those that are there; and the sum
/// of all that is known before running.
void add_tensor_bytes(const Layer& layer, Record& record);
void add_predicted_bytes(Record& record);
/// From a blank record alone: makes the layer and adds what it declares. Status `ok` if it can be
/// run, otherwise `refused` or `failed` with the reason.
void declare_point(Record& record);

/// What a point's process may take beside its limit: program, stacks, the checks' own matrices.
inline constexpr std::uint64_t kProcessSlackBytes = std::uint64_t{256} << 20;

/// Whether dropped mass is taken of a layer. It is about softmax over fewer keys; the log-sum-exp
/// of an estimator is another thing, and a decoder gives none.
bool tells_kept_mass(const Layer& layer, const Record& record);

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
  /// What the layer has been caught at that it must not do, or empty: writing beside its memory,
  /// leaving threads behind.
  std::string complaint() const;
  const Record& record() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a point's process does: answers lines over the channel, as long as the parent asks, and
/// returns the exit code. Messages are JSON, one a line.
///
///     asked                answered
///     declare RECORD       the record, as declare_point leaves it
///     check                the record after set-up and checks
///     time                 the time of one pass: {"time_ns", ..., "complaint"}
///
/// or, if that ended badly, {"status", "reason"}.
int serve_point(const Experiment& single, int channel);

}  // namespace subquad
