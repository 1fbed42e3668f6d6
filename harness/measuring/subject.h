#pragma once

#include <memory>

#include "experiments/experiment.h"
#include "layers/executor.h"
#include "measuring/arithmetic.h"
#include "measuring/pass.h"
#include "records/record.h"

namespace subquad {

/// What a point's passes run, and what their output is held against: an attention layer on Q, K, V,
/// or a model that has it on text. Everything else about a measurement is the same for all.
class Subject {
 public:
  virtual ~Subject() = default;

  /// What was asked of a point of the same group (measure.h).
  virtual Record blank_record(const Experiment& single) const = 0;
  /// Computes the exact output that all points of the group are held against, so that it is kept.
  virtual void prepare_reference() const = 0;

  /// Makes layers and tensors: what is timed as set-up. Nothing below may be called before.
  virtual void set_up() = 0;
  /// Adds what is declared.
  virtual void describe(Record& record) const = 0;
  /// Allocates what passes need. What this returns must not outlive the subject.
  virtual std::unique_ptr<Pass> make_pass() = 0;
  /// Whether passes are to give row log-sum-exps, for the dropped mass.
  virtual bool tells_kept_mass() const = 0;
  virtual ArithmeticCheck check_arithmetic() = 0;
  /// Figures of the output of the first pass: errors and their deviations, draws, quality.
  virtual void take_errors(const LayerOutput& output, Record& record) = 0;
  /// Figures of the input, which one point of a group is asked for.
  virtual void take_input_figures(Record& record) const = 0;
};

/// The subject of a point. Makes its input; throws Error where that cannot be.
std::unique_ptr<Subject> make_subject(const Experiment& single);

std::unique_ptr<Subject> make_layer_subject(const Experiment& single);
std::unique_ptr<Subject> make_model_subject(const Experiment& single);

}  // namespace subquad
