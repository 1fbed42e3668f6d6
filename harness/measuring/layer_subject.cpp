// An attention layer on Q, K, V: a forward pass, or the decoding of its last tokens.

#include <optional>

#include "experiments/points.h"
#include "measuring/attention_figures.h"
#include "measuring/errors.h"
#include "measuring/fitting.h"
#include "measuring/measure.h"
#include "measuring/reference.h"
#include "measuring/subject.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";

class LayerSubject final : public Subject {
 public:
  explicit LayerSubject(const Experiment& single)
      : single_(single),
        input_(make_input_of(single)),
        problem_(problem_of(single, input_)),
        decoded_(decoded_tokens(single, problem_)) {}

  Record blank_record(const Experiment& single) const override {
    return subquad::blank_record(single, input_, problem_);
  }

  void prepare_reference() const override { reference_to(kPlainDense); }

  void set_up() override {
    layer_.emplace(single_.variants.front(), problem_, input_.heads);
    maker_.emplace(*layer_, single_.inputs.front(), request_of(single_));
    tensors_ = maker_->make(single_.seeds.front());
  }

  void describe(Record& record) const override { describe_layer(*layer_, record); }

  std::unique_ptr<Pass> make_pass() override {
    return subquad::make_pass(*layer_, input_, *tensors_, decoded_, single_.threads.front());
  }

  bool tells_kept_mass() const override { return subquad::tells_kept_mass(*layer_, decoded_ > 0); }

  ArithmeticCheck check_arithmetic() override {
    return subquad::check_arithmetic(*layer_, input_, *tensors_, single_.seeds.front(), decoded_);
  }

  void take_errors(const LayerOutput& output, Record& record) override {
    const auto dense = reference_to(kPlainDense);
    const bool own_target = record.dense_target != kPlainDense;
    const bool mass = tells_kept_mass();
    OutputErrors errors = errors_against(*dense, output, input_, problem_, mass && !own_target);
    record.error = std::move(errors.figures);
    record.error_deviation = std::move(errors.deviations);
    record.reference_rows = dense->rows;
    record.sampled = dense->sampled;
    const auto redrawn = [this](std::uint64_t seed, LayerOutput& out) {
      const std::unique_ptr<DrawnTensors> others = maker_->make(seed);
      if (others->drawn_alike(*tensors_)) return false;
      run_once(*layer_, input_, *others, decoded_, single_.threads.front(), out);
      return true;
    };
    record.draws = redrawn_errors(problem_, *dense, single_.seeds.front(), single_.draws, redrawn);
    if (!own_target) return;
    const auto target = reference_to(record.dense_target);
    if (!target) return;
    errors = errors_against(*target, output, input_, problem_, mass);
    record.target_error = std::move(errors.figures);
    record.target_error_deviation = std::move(errors.deviations);
  }

  void take_input_figures(Record& record) const override {
    if (single_.spectrum > 0) add_attention_figures(input_, problem_, single_.spectrum, record);
  }

 private:
  std::optional<Reference> reference_to(const std::string& target) const {
    return reference_of(parse_expression(target), input_, problem_, single_.reference_rows,
                        decoded_);
  }

  const Experiment single_;
  const LayerInput input_;
  const Problem problem_;
  const Index decoded_;
  std::optional<Layer> layer_;
  std::optional<TensorMaker> maker_;
  std::unique_ptr<DrawnTensors> tensors_;
};

}  // namespace

std::unique_ptr<Subject> make_layer_subject(const Experiment& single) {
  return std::make_unique<LayerSubject>(single);
}

std::unique_ptr<Subject> make_subject(const Experiment& single) {
  return single.modes.front() == Mode::model ? make_model_subject(single)
                                             : make_layer_subject(single);
}

}  // namespace subquad
