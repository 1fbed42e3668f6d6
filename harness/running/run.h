#pragma once

#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "records/record.h"
#include "running/progress.h"

namespace subquad {

/// What became of an experiment.
struct RunSummary {
  std::string folder;           ///< that holds points.jsonl, experiment.cfg, machine.json
  std::vector<Record> records;  ///< of all points that have one, in the experiment's order
  std::size_t points = 0;       ///< of the experiment, anchors included
  std::size_t there = 0;        ///< that an earlier run had measured
  std::size_t measured = 0;     ///< by this one
  double forward_s = 0;         ///< wall time of forward passes, the anchors' included
  bool interrupted = false;     ///< SIGINT or SIGTERM came: a later run goes on from here

  /// Every point has a record, and every record is `ok` or `refused`.
  bool all_well() const;
};

/// Measures the points of an experiment that its folder does not hold yet. How: docs/measuring.md.
/// Throws Error for an input that cannot be made, a folder that cannot be written or that another
/// process writes to; whatever a single point does ends in its record.
RunSummary run_experiment(const Experiment& experiment, Progress& progress);

/// Measures an experiment of one point, in a process of its own beside one for the anchor, and
/// gives its record; stores nothing. What `subquad measure` prints.
Record measure_point(const Experiment& single, Progress& progress);

}  // namespace subquad
